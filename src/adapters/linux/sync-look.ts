/** Reads of files with synchronous calls: only for worker threads. */
import { constants, openSync, readSync } from 'node:fs';
import type { ByteSource } from '../../domain/ports/images.js';
import { errnoOf } from './errno.js';

/**
 * The file was removed, may not be read, or is broken: the daemon cannot use it as an image either.
 */
const GONE = ['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'EPERM', 'ENXIO', 'ENAMETOOLONG', 'EIO', 'ESTALE', 'ENOTCONN'];

/** Undefined if the file is gone or may not be read. */
export function look<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (GONE.includes(errnoOf(error) ?? '')) return undefined;
    throw error;
  }
}

/**
 * Opens the file itself for reading, without waiting on a FIFO; undefined as for `look`. The caller
 * closes it.
 */
export function openToLook(path: string): number | undefined {
  return look(() => openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK));
}

/**
 * Reads a file through its descriptor with synchronous calls. Reads beyond `length` return fewer
 * bytes, or none. The caller closes the descriptor.
 */
export function sourceOf(fd: number, length: number): ByteSource {
  return {
    lengthBytes: BigInt(length),
    read(offset, wanted) {
      // Headers can name any offset and length.
      const left = length - Number(offset);
      if (left <= 0) return Promise.resolve(Buffer.alloc(0));
      const buffer = Buffer.alloc(Math.min(wanted, left));
      return Promise.resolve(buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, Number(offset))));
    },
  };
}
