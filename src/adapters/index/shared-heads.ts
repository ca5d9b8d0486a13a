/** First bytes of many files, one after the other: only for worker threads. */
import { readSync } from 'node:fs';
import { HEAD_BYTES } from '../../domain/formats/head.js';
import type { ByteSource } from '../../domain/ports/images.js';
import { sourceOf } from '../linux/sync-look.js';

/**
 * Free buffers. One for each of a hundred thousand files would be as much garbage, which V8 leaves
 * until a thread has 64 MiB of it.
 */
const heads: Buffer[] = [];

/** Calls `work` with a buffer for a head that is used again: the result must not point into it. */
export async function withHeadBuffer<T>(work: (head: Buffer) => Promise<T>): Promise<T> {
  const head = heads.pop() ?? Buffer.alloc(HEAD_BYTES);
  try {
    return await work(head);
  } finally {
    heads.push(head);
  }
}

/**
 * Calls `work` with a file whose head is read into a buffer that is used again, so the result must
 * not point into it. Reads beyond `length` return fewer bytes. The caller closes the descriptor.
 */
export async function withSharedHead<T>(
  fd: number,
  length: number,
  work: (bytes: ByteSource) => Promise<T>,
): Promise<T> {
  const rest = sourceOf(fd, length);
  return withHeadBuffer((head) =>
    work({
      lengthBytes: rest.lengthBytes,
      read: (offset, wanted) =>
        offset === 0n && wanted === HEAD_BYTES
          ? Promise.resolve(head.subarray(0, readSync(fd, head, 0, Math.min(length, HEAD_BYTES), 0)))
          : rest.read(offset, wanted),
    }),
  );
}
