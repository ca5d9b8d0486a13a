/** The thread that adds up what images may still grow by, once; `overcommit-watch.ts` starts it. */
import { parentPort, workerData } from 'node:worker_threads';
import { overcommitted } from './overcommit.js';

export interface OvercommitJob {
  readonly roots: readonly string[];
  readonly closed: readonly string[];
}

// eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- what OvercommitWatch gave
const { roots, closed } = workerData as OvercommitJob;
parentPort?.postMessage(await overcommitted(roots, closed));
