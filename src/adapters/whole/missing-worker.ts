/** A thread that looks for what an image names and its file does not have; `table-walk.ts` starts it. */
import { parentPort, workerData } from 'node:worker_threads';
import { findMissing } from '../../domain/formats/whole/find-missing.js';
import type { Missing } from '../../domain/formats/whole/reach.js';
import type { ImageFormat } from '../../domain/image-format.js';
import { errnoOf } from '../errno.js';
import { sourceOf } from '../sync-look.js';

export interface MissingJob {
  readonly fd: number;
  readonly lengthBytes: number;
  readonly format: ImageFormat;
}

export type MissingAnswer =
  { readonly missing: Missing | undefined } | { readonly code: string | undefined; readonly text: string };

const say = (answer: MissingAnswer) => parentPort?.postMessage(answer);
// eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- what TableWalk gave
const { fd, lengthBytes, format } = workerData as MissingJob;
try {
  say({ missing: await findMissing(sourceOf(fd, lengthBytes), format, false) });
} catch (error) {
  say({ code: errnoOf(error), text: String(error) });
}
