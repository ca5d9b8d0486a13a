/** The watchdog of the tests sees what holds a daemon, and nothing else. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT_FOLDER } from '../../support/daemon.js';
import { scratchFolder } from '../../support/scratch.js';
import { tryRun } from '../../support/shell.js';

const WATCHDOG = join(ROOT_FOLDER, 'dist/test/support/watchdog/in-daemon.js');
/** Uses the processor for so long. */
const BURN = `const burn = (ms) => { const begun = process.threadCpuUsage(); const used = () => { const now = process.threadCpuUsage(begun); return (now.user + now.system) / 1000; }; while (used() < ms); };
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms)); await pause(100);`;

describe('the watchdog', () => {
  const scratch = scratchFolder();
  const held = async (
    name: string,
    code: string,
  ): Promise<readonly { readonly heldMs: number; readonly times: number }[]> => {
    const file = scratch.path(name);
    const env = { ...process.env, HOSTLER_WATCHDOG: file, HOSTLER_WATCHDOG_MS: '50' };
    const script = `${BURN} ${code}; await pause(100);`;
    const words = ['--import', WATCHDOG, '--input-type=module', '-e', script];
    assert.deepEqual(await tryRun(process.execPath, words, { env }), { code: 0, stdout: '', stderr: '' });
    const text = await readFile(file, 'utf8').catch((error: unknown) => {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
      throw error;
    });
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as { heldMs: number; times: number });
  };

  it('sees one turn of 400 ms, and how slow the machine was', async () => {
    const [turn, ...more] = await held('held', 'burn(400)');
    assert.ok(turn !== undefined && turn.heldMs * turn.times >= 380, JSON.stringify(turn));
    assert.ok(turn.times >= 1);
    assert.deepEqual(more, []);
  });

  for (const [title, code] of [
    ['the same time in turns of 5 ms', 'for (let n = 0; n < 30; n++) { burn(5); await pause(1); }'],
    ['a wait', 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300)'],
    [
      'another thread at work',
      "const { Worker } = await import('node:worker_threads'); const done = new Worker('for (let n = 0; n < 4e8; n++);', { eval: true }); await new Promise((resolve) => done.once('exit', resolve))",
    ],
    [
      'children at work, more than there are processors',
      "const { execFile } = await import('node:child_process'); await Promise.all(Array.from({ length: 4 }, () => new Promise((resolve) => execFile(process.execPath, ['-e', 'for (let n = 0; n < 2e8; n++);'], resolve))))",
    ],
  ] as const)
    it(`does not see ${title}`, async () => {
      assert.deepEqual(await held(title.replaceAll(' ', '-'), code), []);
    });
});
