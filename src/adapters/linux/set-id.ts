import type { FileHandle } from 'node:fs/promises';
import { errnoOf } from './errno.js';

const SET_ID_BITS = 0o6000;
const PERMISSION_BITS = 0o777;

/**
 * The mode of a file whose content is replaced: what is in it now was not what got the set-id bits.
 */
export function modeOfNewContent(mode: number): number {
  return mode & PERMISSION_BITS;
}

/**
 * Before the content of an open file is changed: takes its set-id bits away. The kernel does so
 * when a process without root's rights writes, so it need not be allowed. Fails with system errors.
 */
export async function clearSetId(file: Pick<FileHandle, 'chmod'>, mode: number): Promise<void> {
  if ((mode & SET_ID_BITS) === 0) return;
  await file.chmod(modeOfNewContent(mode)).catch((error: unknown) => {
    if (errnoOf(error) !== 'EPERM') throw error;
  });
}
