/** A thread that examines files for an inventory; `look-threads.ts` starts it. */
import { parentPort } from 'node:worker_threads';
import { lookAtFiles, type FilesToLookAt } from './file-look.js';

const port = parentPort;

/** Jobs are answered in order. A failure ends the thread, and with it the whole scan. */
let work = Promise.resolve();

port?.on('message', (job: FilesToLookAt | 'end') => {
  work = work.then(async () => {
    if (job === 'end') port.close();
    else port.postMessage(await lookAtFiles(job));
  });
});
