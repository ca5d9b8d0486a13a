import { rest } from '../model/numbers.js';
import type { Counters } from '../operations/record.js';
import type { Resolved } from '../ports/handles.js';

export interface Moved {
  readonly movedBytes: bigint;
  readonly skippedBytes: bigint;
}

/**
 * How much was moved of the bytes that were read: those that are allocated now. Zeros that were
 * read became holes. On a filesystem without block counts all bytes count.
 */
export function movedOf(
  { allocatedBytes }: Pick<Resolved, 'allocatedBytes'>,
  readBytes: bigint,
  wholeBytes: bigint,
): Moved {
  return movedIn(allocatedBytes > 0n ? allocatedBytes : readBytes, readBytes, wholeBytes);
}

/** The same if the number of data bytes is known, possibly in whole clusters. */
export function movedIn(dataBytes: bigint, readBytes: bigint, wholeBytes: bigint): Moved {
  const movedBytes = dataBytes < readBytes ? dataBytes : readBytes;
  return { movedBytes, skippedBytes: rest(wholeBytes, movedBytes) };
}

/**
 * The progress of a complete copy: all bytes except its holes. Fewer were moved if an earlier
 * attempt had moved some, more if some were moved twice.
 */
export function wholeOf({
  lengthBytes,
  skippedBytes,
}: { readonly lengthBytes: bigint } & Pick<Moved, 'skippedBytes'>): Counters {
  const doneBytes = rest(lengthBytes, skippedBytes);
  return { doneBytes, totalBytes: doneBytes, skippedBytes };
}
