/**
 * What a plan says that an image needs: its data and the tables for that, not those of a disk that
 * is full.
 */
import assert from 'node:assert/strict';
import { suiteDaemon } from '../../support/daemon.js';
import { guestWrites } from '../../support/images/chains.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import type { Message } from '../../support/stranger.js';

const MIB = 1 << 20;

describe('space for a large qcow2', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch);
  const at = (name: string) => daemon.get().image(name);
  const need = async (rpc: string, request: Message) => {
    const planned = daemon.get().stranger.operation(`ImageService/${rpc}`, { ...request, plan_only: true });
    return Number(((await planned)['plan'] as Message)['need_bytes']);
  };

  it('an empty one of 20 TiB', async () => {
    const create = { path: at('new'), format: 'qcow2', size: '20T' };
    assert.ok((await need('CreateImage', create)) < 8 * MIB);
    assert.ok((await need('CreateImage', { ...create, preallocation: 'PREALLOCATION_METADATA' })) > 2500 * MIB);
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', at('empty'), '20T');
    const convert = { source: at('empty'), source_format: 'qcow2', target: at('out'), target_format: 'qcow2' };
    assert.ok((await need('ConvertImage', convert)) < 8 * MIB);
    await guestWrites(at('empty'), [
      { pattern: 1, at: 5, length: 3 },
      { pattern: 2, at: 20_000_000, length: 2 },
    ]);
    const needed = await need('ConvertImage', convert);
    assert.ok(needed >= 5 * MIB && needed < 16 * MIB, String(needed));
    const small = await need('ConvertImage', { ...convert, cluster_size_bytes: '2097152' });
    assert.ok(small >= 6 * MIB && small < 64 * MIB, String(small));
  });
});
