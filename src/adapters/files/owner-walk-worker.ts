/** A thread that walks one tree after the other; `tree-owners.ts` starts it. */
import { parentPort } from 'node:worker_threads';
import { errnoOf } from '../linux/errno.js';
import { walkOwners, WalkError, type WalkJob } from './owner-walk.js';

export type WorkerMessage =
  | { readonly kind: 'state' | 'done'; readonly state: ReturnType<typeof walkOwners> }
  | { readonly kind: 'failed'; readonly code: string | undefined; readonly below: string; readonly text: string };

const port = parentPort;
const say = (message: WorkerMessage) => port?.postMessage(message);

port?.on('message', (job: WalkJob) => {
  try {
    const state = walkOwners(job, (now) => say({ kind: 'state', state: now }));
    say({ kind: 'done', state });
  } catch (error) {
    const { code, below } = error instanceof WalkError ? error : { code: errnoOf(error), below: '' };
    say({ kind: 'failed', code, below, text: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
});
