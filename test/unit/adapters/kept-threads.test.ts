import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import { KeptThreads } from '../../../src/adapters/linux/kept-threads.js';
import { scratchFolder } from '../../support/scratch.js';

interface Answer {
  readonly thread: number;
  readonly last: boolean;
}

describe('kept threads', () => {
  const scratch = scratchFolder();
  const threads = async () => {
    const file = scratch.path('worker.mjs');
    await writeFile(
      file,
      `import { parentPort, threadId } from 'node:worker_threads';
      parentPort.on('message', (job) => {
        if (job === 'throw') throw new Error('no');
        parentPort.postMessage({ thread: threadId, last: false });
        parentPort.postMessage({ thread: threadId, last: true });
      });`,
    );
    return new KeptThreads<string, Answer>(pathToFileURL(file), ({ last }) => last);
  };

  it('do one job after the other, and hand on what comes before the last message', async () => {
    const kept = await threads();
    const seen: Answer[] = [];
    const first = await kept.run('a', (message) => seen.push(message));
    assert.deepEqual(seen, [{ thread: first.thread, last: false }]);
    assert.deepEqual(await kept.run('b'), first);
  });

  it('are as many as there are jobs at a time', async () => {
    const kept = await threads();
    const at = async () => (await kept.run('a')).thread;
    const [one, two] = await Promise.all([at(), at()]);
    assert.notEqual(one, two);
    assert.ok([one, two].includes(await at()));
  });

  it('fail with what a job throws, and the next job gets another thread', async () => {
    const kept = await threads();
    const { thread } = await kept.run('a');
    await assert.rejects(kept.run('throw'), /no/);
    assert.notEqual((await kept.run('b')).thread, thread);
  });
});
