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

describe('the limit of memory', () => {
  const LIMIT = join(ROOT_FOLDER, 'dist/test/support/watchdog/memory.js');
  /** Runs the code beside the limit, and ends. */
  const limited = (mostMib: number, code: string) => {
    const script = `import { Worker } from 'node:worker_threads';
const guard = new Worker(${JSON.stringify(LIMIT)}, { execArgv: [], workerData: { mostMib: ${String(mostMib)} } });
await new Promise((resolve) => guard.once('online', resolve));
const kept = [];
const wait = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
${code};
await guard.terminate();`;
    return tryRun(process.execPath, ['--input-type=module', '-e', script]);
  };
  const take = (mib: number) => `for (let n = 0; n < ${String(mib)}; n++) kept.push(Buffer.alloc(1 << 20, 1))`;

  for (const [title, code] of [
    ['whose main thread takes native memory and never comes back', `${take(400)}; wait(10_000)`],
    ['whose main thread takes it in a loop', `for (let turn = 0; turn < 200; turn++) { ${take(10)}; wait(20); }`],
    ['that takes it and waits', `${take(400)}; await new Promise((resolve) => setTimeout(resolve, 10_000))`],
  ] as const)
    it(`ends a process ${title}, with words`, async () => {
      const { stderr, stdout } = await limited(300, code);
      assert.match(stderr, /^this process took \d+ MiB, and 300 MiB is the most: it is ended\n$/);
      assert.equal(stdout, '');
    });

  it('leaves a process alone that keeps to it', async () => {
    assert.deepEqual(await limited(1000, `${take(400)}; wait(500)`), { code: 0, stdout: '', stderr: '' });
  });
});
