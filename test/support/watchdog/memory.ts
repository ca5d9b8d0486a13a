/**
 * In a thread of its own (`workerData`: MemoryLimit): ends the process, with words, when it takes
 * more memory than it may. Native memory is no part of the limits of V8, and a main thread that
 * never comes back could not look.
 */
import { writeSync } from 'node:fs';
import { workerData } from 'node:worker_threads';

export interface MemoryLimit {
  /** Of the whole process, resident, in MiB. */
  readonly mostMib: number;
}

/** Between two looks. */
const LOOK_MS = 100;
const { mostMib } = workerData as MemoryLimit;

setInterval(() => {
  const mib = Math.round(process.memoryUsage.rss() / 2 ** 20);
  if (mib <= mostMib) return;
  writeSync(2, `this process took ${String(mib)} MiB, and ${String(mostMib)} MiB is the most: it is ended\n`);
  process.kill(process.pid, 'SIGKILL');
}, LOOK_MS);
