import type { FileHandle } from 'node:fs/promises';
import { errnoOf } from './errno.js';

const SET_ID_BITS = 0o6000;
const PERMISSION_BITS = 0o777;

/** The mode of a file whose content is replaced: the set-id bits were given to the old content. */
export function modeOfNewContent(mode: number): number {
  return mode & PERMISSION_BITS;
}

/**
 * Clears the set-id bits of an open file before its content changes. The kernel does so when an
 * unprivileged process writes, so no permission is needed then. Fails with system errors.
 */
export async function clearSetId(file: Pick<FileHandle, 'chmod'>, mode: number): Promise<void> {
  if ((mode & SET_ID_BITS) === 0) return;
  await file.chmod(modeOfNewContent(mode)).catch((error: unknown) => {
    if (errnoOf(error) !== 'EPERM') throw error;
  });
}
