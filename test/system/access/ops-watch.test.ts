/** `hostler ops watch ID`: a script gets the answer of an operation that another command started. */
import assert from 'node:assert/strict';
import { open, writeFile } from 'node:fs/promises';
import { HOSTLER, suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun } from '../../support/shell.js';

const CLUSTER = 64 * 1024;

async function writeAt(path: string, offset: number, value: bigint): Promise<void> {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  const file = await open(path, 'r+');
  await file.write(bytes, 0, bytes.length, offset);
  await file.close();
}

describe('hostler ops watch of one operation', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch);
  const image = (name: string) => daemon.get().image(name);
  const hostler = (...args: string[]) => tryRun(HOSTLER, ['--address', daemon.get().address, ...args]);

  before(async () => {
    await writeFile(image('a.raw'), noise(CLUSTER));
    await writeFile(image('b.raw'), noise(2 * CLUSTER).subarray(CLUSTER));
    for (const name of ['clean', 'leaking', 'wrong-l1'])
      await sh('qemu-img', 'create', '-q', '-f', 'qcow2', image(name), '1M');
    // The refcount block is the third cluster: a cluster counts as used to which nothing refers.
    const leaking = await open(image('leaking'), 'r+');
    await leaking.write(Buffer.from([0, 1]), 0, 2, 2 * CLUSTER + 2 * 10);
    await leaking.truncate(11 * CLUSTER);
    await leaking.close();
    // An offset in the L1 table that is no multiple of a cluster.
    await writeAt(image('wrong-l1'), 3 * CLUSTER, 512n);
  });

  const raw = ['-f', 'raw', '-F', 'raw'];
  const cases: readonly (readonly [string, number, () => readonly string[]])[] = [
    ['a check that found nothing', 0, () => ['check', image('clean'), '-f', 'qcow2']],
    ['a check that found leaks', 3, () => ['check', image('leaking'), '-f', 'qcow2']],
    ['a check that failed', 1, () => ['check', image('a.raw'), '-f', 'raw']],
    ['a comparison of the same', 0, () => ['compare', image('a.raw'), image('a.raw'), ...raw]],
    ['a comparison that found a difference', 1, () => ['compare', image('a.raw'), image('b.raw'), ...raw]],
    ['a comparison that failed', 2, () => ['compare', image('clean'), image('wrong-l1'), '-f', 'qcow2', '-F', 'qcow2']],
  ];
  for (const [what, code, args] of cases)
    it(`${what} exits with ${String(code)}, as its own command`, async () => {
      const own = await hostler('image', ...args());
      assert.equal(own.code, code, own.stderr);
      const listed = await hostler('--json', 'ops', 'ls', '--newest', '--limit', '1');
      const { operations } = JSON.parse(listed.stdout) as { operations: readonly { operationId: string }[] };
      const watched = await hostler('ops', 'watch', operations[0]?.operationId ?? '');
      assert.equal(watched.code, code, watched.stderr);
      if (own.stdout !== '') assert.ok(watched.stdout.endsWith(own.stdout), watched.stdout);
    });

  it('an operation that does not exist is not found', async () => {
    const { code, stderr } = await hostler('ops', 'watch', '01M8KYAFPS8AY0GVWYQT62XV0K');
    assert.equal(code, 3, stderr);
  });
});
