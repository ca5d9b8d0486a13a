/**
 * The thread that computes once how much images may still grow; `overcommit-watch.ts` starts it.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { firstOf, type BadFile } from './bad-files.js';
import { overcommitted } from './overcommit.js';

export interface OvercommitJob {
  readonly roots: readonly string[];
  readonly closed: readonly string[];
}

export type OvercommitMessage =
  | { readonly kind: 'bad'; readonly bad: BadFile }
  | { readonly kind: 'sums'; readonly sums: ReadonlyMap<bigint, bigint> };

// eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- what OvercommitWatch gave
const { roots, closed } = workerData as OvercommitJob;
const say = (message: OvercommitMessage) => parentPort?.postMessage(message);
void overcommitted(
  roots,
  closed,
  firstOf((bad) => say({ kind: 'bad', bad })),
).then((sums) => say({ kind: 'sums', sums }));
