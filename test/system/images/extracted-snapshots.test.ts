/**
 * What ExtractSnapshot makes of a snapshot: its content, in its size, with true numbers; or it says
 * why not.
 */
import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { guestContent, guestWrites } from '../../support/images/chains.js';
import { suiteDaemon } from '../../support/daemon.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const MIB = 1 << 20;

describe('extracted snapshots', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch);
  const at = (name: string) => daemon.get().image(name);
  const run = (rpc: string, request: Message) => daemon.get().stranger.operation(`ImageService/${rpc}`, request);
  const extract = (path: string, target: string, target_format = 'raw', more: Message = {}) =>
    run('ExtractSnapshot', { path, source_format: 'qcow2', target, target_format, snapshot: 's', ...more });
  /** 8 MiB with 3 MiB of data when the snapshot is made, other data and another size afterwards. */
  const resized = async (name: string, size: string, overlay = false) => {
    await mkdir(at(name));
    const path = at(`${name}/disk`);
    const on = ['-F', 'qcow2', '-b', at(`${name}/base`)];
    if (overlay) {
      await sh('qemu-img', 'create', '-q', '-f', 'qcow2', at(`${name}/base`), '16M');
      await guestWrites(at(`${name}/base`), [{ pattern: 9, at: 5, length: 9 }]);
    }
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', ...(overlay ? on : []), path, '8M');
    await guestWrites(path, [{ pattern: 0x44, at: 1, length: 3 }]);
    const before = await guestContent(path);
    await run('CreateSnapshot', { path, format: 'qcow2', snapshot: 's' });
    await run('ResizeImage', { path, format: 'qcow2', size, allow_shrink: true });
    await guestWrites(path, [{ pattern: 0x55, at: 0, length: 2 }]);
    return { path, before };
  };

  for (const overlay of [false, true])
    it(`of an image that has grown since${overlay ? ', on a larger base' : ''}: as raw`, async () => {
      const name = overlay ? 'grown-overlay' : 'grown';
      const { path, before } = await resized(name, '16M', overlay);
      await extract(path, at(`${name}/out`));
      assert.ok((await readFile(at(`${name}/out`))).equals(before));
      const error = await failure(extract(path, at(`${name}/no`), 'qcow2'));
      assert.equal(error.reason, 'SNAPSHOT_SIZE_DIFFERS');
      assert.match(error.message, /has 8388608 bytes, the image has 16777216: extract it as raw/);
    });

  it('of an image that has shrunk since: after it has grown again', async () => {
    const { path, before } = await resized('shrunk', '4M');
    for (const plan_only of [true, false]) {
      const error = await failure(extract(path, at('shrunk/no'), 'raw', { plan_only }));
      assert.equal(error.reason, 'SNAPSHOT_SIZE_DIFFERS');
      assert.match(error.message, /has 8388608 bytes, the image has 4194304: resize the image/);
    }
    await run('ResizeImage', { path, format: 'qcow2', size: '8M' });
    for (const format of ['raw', 'qcow2', 'vdi']) {
      await extract(path, at(`shrunk/${format}`), format);
      assert.ok((await guestContent(at(`shrunk/${format}`), format)).equals(before), format);
    }
  });

  it('reverting restores size and content', async () => {
    for (const size of ['4M', '16M']) {
      const { path, before } = await resized(`reverted-${size}`, size);
      await run('RevertSnapshot', { path, format: 'qcow2', snapshot: 's' });
      assert.ok((await guestContent(path)).equals(before), size);
    }
  });

  it('what is moved is its data, not its size', async () => {
    const { path } = await resized('moved', '8M');
    // The image itself has other data than that, then more.
    for (const length of [1, 6]) {
      await guestWrites(path, [{ pattern: 3, at: 2, length }]);
      for (const format of ['raw', 'qcow2']) {
        const { image } = (await extract(path, at('moved/out'), format, { overwrite: true })) as { image: Message };
        const work = image['work'] as Message;
        assert.equal(work['moved_bytes'], String(3 * MIB));
        assert.equal(work['skipped_bytes'], String(5 * MIB));
      }
      const { plan } = (await extract(path, at('moved/no'), 'raw', { plan_only: true })) as { plan: Message };
      assert.equal(plan['move_bytes'], String(3 * MIB));
    }
  });
});
