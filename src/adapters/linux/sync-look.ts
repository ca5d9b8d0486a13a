/**
 * Looking at files with synchronous calls: only for threads of their own, where they hold up
 * nobody.
 */
import { constants, openSync, readSync } from 'node:fs';
import type { ByteSource } from '../../domain/ports/images.js';
import { errnoOf } from './errno.js';

/**
 * Gone meanwhile, not ours to look at, or broken: what the daemon cannot read it cannot use as an
 * image either.
 */
const GONE = ['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'EPERM', 'ENXIO', 'ENAMETOOLONG', 'EIO', 'ESTALE', 'ENOTCONN'];

/** Undefined for what has gone meanwhile, or may not be looked at. */
export function look<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (GONE.includes(errnoOf(error) ?? '')) return undefined;
    throw error;
  }
}

/**
 * A descriptor for reading, of the file itself and no FIFO that waits; undefined as `look`. The
 * caller closes it.
 */
export function openToLook(path: string): number | undefined {
  return look(() => openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK));
}

/**
 * Reads a file through its descriptor with synchronous calls. Reads beyond `length` bytes return
 * what there is, or nothing. The caller closes the descriptor.
 */
export function sourceOf(fd: number, length: number): ByteSource {
  return {
    lengthBytes: BigInt(length),
    read(offset, wanted) {
      // Headers name any offset and any length.
      const left = length - Number(offset);
      if (left <= 0) return Promise.resolve(Buffer.alloc(0));
      const buffer = Buffer.alloc(Math.min(wanted, left));
      return Promise.resolve(buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, Number(offset))));
    },
  };
}
