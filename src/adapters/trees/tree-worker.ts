/** The thread that works on one tree; `tree-thread.ts` starts it. */
import { parentPort, workerData } from 'node:worker_threads';
import { inspect } from 'node:util';
import type { Reason } from '../../domain/model/reasons/reasons.js';
import { errnoOf } from '../linux/errno.js';
import { TreeError } from './tree-error.js';
import { lookAt, type LookFacts, type LookJob } from './tree-look.js';
import { emptyFolder, type EmptyJob } from './tree-removal.js';

export type TreeJob = LookJob | EmptyJob;

/** `step` gets one answer; `end` closes open descriptors, and the thread ends. */
export type TreeQuestion = 'step' | 'end';

export type TreeAnswer =
  | { readonly kind: 'resumes'; readonly items: number }
  | { readonly kind: 'looked'; readonly facts: LookFacts }
  | { readonly kind: 'emptied' }
  | {
      readonly kind: 'failed';
      readonly why: { readonly errno: string } | { readonly reason: Reason; readonly words: string } | undefined;
      readonly names: readonly Uint8Array[];
      readonly text: string;
    };

// eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- what the other side gave
const steps = stepsOf(workerData as TreeJob);

parentPort?.on('message', (question: TreeQuestion) => {
  if (question === 'step') parentPort?.postMessage(answer());
  else {
    steps.return({ kind: 'emptied' });
    parentPort?.close();
  }
});

function* stepsOf(job: TreeJob): Generator<number, TreeAnswer> {
  if (job.kind === 'look') return { kind: 'looked', facts: yield* lookAt(job) };
  yield* emptyFolder(job);
  return { kind: 'emptied' };
}

function answer(): TreeAnswer {
  try {
    const { done, value } = steps.next();
    return done === true ? value : { kind: 'resumes', items: value };
  } catch (error) {
    const errno = errnoOf(error);
    const why = error instanceof TreeError ? error.why : errno === undefined ? undefined : { errno };
    return { kind: 'failed', why, names: error instanceof TreeError ? error.names : [], text: inspect(error) };
  }
}
