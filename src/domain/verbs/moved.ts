import { rest } from '../model/numbers.js';
import type { Counters } from '../operations/record.js';
import type { Resolved } from '../ports/handles.js';

export interface Moved {
  readonly movedBytes: bigint;
  readonly skippedBytes: bigint;
}

/**
 * What was moved of so many bytes that were read: those that take space now. Zeros that were read
 * became holes. Where a filesystem counts no blocks nothing tells, and all that was read counts.
 */
export function movedOf(
  { allocatedBytes }: Pick<Resolved, 'allocatedBytes'>,
  readBytes: bigint,
  wholeBytes: bigint,
): Moved {
  return movedIn(allocatedBytes > 0n ? allocatedBytes : readBytes, readBytes, wholeBytes);
}

/** The same where so many bytes are known to be data now, in clusters perhaps. */
export function movedIn(dataBytes: bigint, readBytes: bigint, wholeBytes: bigint): Moved {
  const movedBytes = dataBytes < readBytes ? dataBytes : readBytes;
  return { movedBytes, skippedBytes: rest(wholeBytes, movedBytes) };
}

/**
 * The progress of a copy that is whole: all bytes but its holes are there. Fewer were moved where
 * an earlier attempt had brought some, more where some came twice.
 */
export function wholeOf({
  lengthBytes,
  skippedBytes,
}: { readonly lengthBytes: bigint } & Pick<Moved, 'skippedBytes'>): Counters {
  const doneBytes = rest(lengthBytes, skippedBytes);
  return { doneBytes, totalBytes: doneBytes, skippedBytes };
}
