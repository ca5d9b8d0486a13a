/**
 * What plans say is needed and moved, for images of which qemu does not tell where their data is,
 * held against what is then on disk.
 */
import assert from 'node:assert/strict';
import { readFile, rename } from 'node:fs/promises';
import { suiteDaemon } from '../../support/daemon.js';
import { allocatedBytes, sparseFile } from '../../support/images/disks.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { reported } from '../../support/numbers/reported.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun } from '../../support/shell.js';
import type { Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const MIB = 1 << 20;
const SIZE = 2048 * MIB;

describe('what an image is said to need', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  const daemon = suiteDaemon(scratch);
  const at = (name: string) => daemon.get().image(name);
  let server: FaultServer;
  before(async () => {
    server = await FaultServer.start();
    scratch.onEnd(() => server.close());
    const data = [3, 900, 2000].map((mib) => ({ at: mib * MIB, length: MIB }));
    for (const [name, pieces] of [
      ['empty', []],
      ['thin', data],
    ] as const) {
      await sparseFile(at('raw'), SIZE, pieces);
      await sh('qemu-img', 'convert', '-O', 'vhdx', '-o', 'block_size=1M', '-f', 'raw', at('raw'), at(name));
    }
  });
  const planned = async (rpc: string, request: Message) =>
    (await daemon.get().stranger.operation(`ImageService/${rpc}`, { ...request, plan_only: true }))['plan'] as Message;

  for (const [source, data] of [
    ['empty', 0],
    ['thin', 3 * MIB],
  ] as const)
    for (const format of ['raw', 'qcow2'])
      it(`the ${source} vhdx made ${format}: not all of its disk`, async () => {
        const target = at(`${source} ${format}`);
        const request = { source: at(source), source_format: 'vhdx', target, target_format: format };
        const need = Number((await planned('ConvertImage', request))['need_bytes']);
        const { moved, skipped, last } = await reported(daemon.get().stranger, 'ImageService/ConvertImage', request);
        const taken = await allocatedBytes(target);
        assert.ok(need >= taken && need <= data + 16 * MIB, `${String(need)} for ${String(taken)}`);
        assert.ok(moved >= data && moved <= data + MIB, String(moved));
        assert.equal(moved + skipped, SIZE);
        assert.deepEqual(last, { done: moved, total: moved, skipped });
      });
  it('a vhdx that is fetched and made raw: not all of its disk', async () => {
    const url = server.add('vhdx', await readFile(at('thin')));
    const request = { source: { http: { url } }, target: at('fetched'), source_format: 'vhdx', target_format: 'raw' };
    const { last } = await reported(daemon.get().stranger, 'ImageService/FetchImage', request);
    assert.ok(
      last !== undefined && Math.abs(last.done - 3 * MIB) <= 65_536 && last.done + last.skipped === SIZE,
      JSON.stringify(last),
    );
  });

  describe('with encryption', () => {
    const encryption = { format: 'luks', passphrase: Buffer.from('of-the-estimate') };
    /** What qemu-img makes of such a thing itself, with a key that is derived quickly. */
    const takenBy = async (verb: string, format: string, ...words: string[]) => {
      const key = format === 'luks' ? '' : 'encrypt.';
      const options = `${format === 'luks' ? '' : 'encrypt.format=luks,'}${key}key-secret=s,${key}iter-time=10`;
      const to = verb === 'create' ? '-f' : '-O';
      const args = [verb, '-q', '--object', 'secret,id=s,data=secret', to, format, '-o', options, ...words];
      // On a busy machine it cannot measure the processor now and then.
      await until(async () => {
        const { code, stderr } = await tryRun('qemu-img', args);
        assert.ok(code === 0 || stderr.includes('Unable to get accurate CPU usage'), stderr);
        return code === 0;
      });
      return allocatedBytes(at('made'));
    };
    for (const format of ['luks', 'qcow2']) {
      it(`a new ${format}: its header too`, async () => {
        const request = { path: at('new'), format, virtual_size_bytes: String(8 * MIB), encryption };
        const need = Number((await planned('CreateImage', request))['need_bytes']);
        const taken = await takenBy('create', format, at('made'), '8M');
        assert.ok(need >= taken && need <= taken + 4 * MIB, `${String(need)} for ${String(taken)}`);
      });
      it(`a disk made ${format}: its header, and zeros where they are written as ciphertext`, async () => {
        await sparseFile(at('disk'), 16 * MIB, [{ at: MIB, length: MIB }]);
        const request = { source: at('disk'), source_format: 'raw', target: at('new'), target_format: format };
        const plan = await planned('ConvertImage', { ...request, encryption });
        const need = Number(plan['need_bytes']);
        const taken = await takenBy('convert', format, '-f', 'raw', at('disk'), at('made'));
        assert.ok(need >= taken && need <= taken + 4 * MIB, `${String(need)} for ${String(taken)}`);
        const moves = Number(plan['move_bytes']);
        assert.ok(format === 'luks' ? moves === 16 * MIB : moves <= MIB + 65_536, String(moves));
      });
    }
    it('a plan of what is done in place opens nothing: no passphrase is needed', async () => {
      await takenBy('create', 'qcow2', at('made'), '8M');
      await rename(at('made'), at('base'));
      await takenBy('create', 'qcow2', '-u', '-F', 'qcow2', '-b', at('base'), at('made'), '8M');
      await rename(at('made'), at('over'));
      for (const rpc of ['RebaseImage', 'CommitImage']) {
        const plan = await planned(rpc, { path: at('over'), format: 'qcow2' });
        assert.ok(Number(plan['need_bytes']) <= 4 * MIB, JSON.stringify(plan));
      }
    });
  });
});
