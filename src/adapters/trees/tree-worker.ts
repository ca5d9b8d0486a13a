/** The thread that works on one tree; `tree-thread.ts` starts it. */
import { parentPort, workerData } from 'node:worker_threads';
import { inspect } from 'node:util';
import type { Reason } from '../../domain/model/reasons/reasons.js';
import { errnoOf } from '../linux/errno.js';
import { TreeError } from './tree-error.js';
import { lookAt, type LookFacts, type LookJob } from './tree-look.js';
import { emptyFolder, type EmptyJob } from './tree-removal.js';

export type TreeJob = LookJob | EmptyJob;

export interface TreeWork {
  readonly job: TreeJob;
  /** Not 0: stop. */
  readonly stop: Int32Array;
}

export type TreeMessage =
  | { readonly kind: 'progress'; readonly items: number }
  | { readonly kind: 'looked'; readonly facts: LookFacts }
  | { readonly kind: 'emptied'; readonly items: number }
  | {
      readonly kind: 'failed';
      readonly why: { readonly errno: string } | { readonly reason: Reason; readonly words: string } | undefined;
      readonly names: readonly Uint8Array[];
      readonly text: string;
    };

const say = (message: TreeMessage) => parentPort?.postMessage(message);
const progress = (items: number) => say({ kind: 'progress', items });
// eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- what the other side gave
const { job, stop } = workerData as TreeWork;
try {
  if (job.kind === 'look') say({ kind: 'looked', facts: lookAt(job, progress, () => Atomics.load(stop, 0) !== 0) });
  else say({ kind: 'emptied', items: emptyFolder(job, progress) });
} catch (error) {
  const errno = errnoOf(error);
  const why = error instanceof TreeError ? error.why : errno === undefined ? undefined : { errno };
  say({ kind: 'failed', why, names: error instanceof TreeError ? error.names : [], text: inspect(error) });
}
