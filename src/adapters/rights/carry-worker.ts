/**
 * The thread that carries rights over on filesystems that may stop answering; see
 * `replaced-file.ts`.
 */
import { parentPort } from 'node:worker_threads';
import { inspect } from 'node:util';
import { carryRights, type Carried } from './carry.js';

export interface CarryJob {
  readonly from: string;
  readonly to: string;
}

export type CarryAnswer =
  { readonly kind: 'carried'; readonly carried: Carried } | { readonly kind: 'failed'; readonly text: string };

parentPort?.on('message', ({ from, to }: CarryJob) => {
  parentPort?.postMessage(answer(from, to));
});

function answer(from: string, to: string): CarryAnswer {
  try {
    return { kind: 'carried', carried: carryRights(from, to) };
  } catch (error) {
    return { kind: 'failed', text: inspect(error) };
  }
}
