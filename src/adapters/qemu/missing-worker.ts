/**
 * A thread that compares what an image's tables name with the length of its file; `table-walk.ts`
 * starts it.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { findMissing } from '../../domain/formats/whole/find-missing.js';
import type { ImageFormat } from '../../domain/model/image-format.js';
import { errnoOf } from '../linux/errno.js';
import { sourceOf } from '../linux/sync-look.js';
import type { Missing } from '../../domain/model/image-info.js';

export interface MissingJob {
  readonly fd: number;
  readonly lengthBytes: number;
  readonly format: ImageFormat;
  /** Limit of processor time; unset: none. */
  readonly cpuSeconds?: number;
}

export type MissingAnswer =
  | { readonly missing: Missing | undefined }
  | { readonly tooLong: true }
  | { readonly code: string | undefined; readonly text: string };

/** Bytes that are read between two checks of the clock. */
const LOOK_BYTES = 1 << 20;

class TooLong extends Error {}

const say = (answer: MissingAnswer) => parentPort?.postMessage(answer);
// eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- what TableWalk gave
const { fd, lengthBytes, format, cpuSeconds } = workerData as MissingJob;
let unseen = 0;
const spend = (bytes: number) => {
  unseen += bytes;
  if (cpuSeconds === undefined || unseen < LOOK_BYTES) return;
  unseen = 0;
  const { user, system } = process.threadCpuUsage();
  if ((user + system) / 1e6 > cpuSeconds) throw new TooLong();
};
findMissing(sourceOf(fd, lengthBytes), format, spend).then(
  (missing) => say({ missing }),
  (error: unknown) => say(error instanceof TooLong ? { tooLong: true } : { code: errnoOf(error), text: String(error) }),
);
