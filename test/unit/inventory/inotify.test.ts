/** What a thread leaves that has watched folders. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

const MODULE = new URL('../../../src/adapters/inventory/inotify.js', import.meta.url).href;
const WATCH_AND_END = `
  const { parentPort } = require('node:worker_threads');
  const said = [];
  process.on('warning', (warning) => said.push(String(warning)));
  import(${JSON.stringify(MODULE)}).then(({ Inotify }) => {
    const watch = Inotify.open();
    watch.close();
    setImmediate(() => parentPort.postMessage({ said, watched: watch !== undefined }));
  });`;

describe('a thread that watches folders', () => {
  it('ends without a warning and without an open descriptor', async () => {
    const before = readdirSync('/proc/self/fd').length;
    const worker = new Worker(WATCH_AND_END, { eval: true });
    const [answer] = (await once(worker, 'message')) as unknown[];
    assert.deepEqual(answer, { said: [], watched: true });
    await worker.terminate();
    assert.equal(readdirSync('/proc/self/fd').length, before);
  });
});
