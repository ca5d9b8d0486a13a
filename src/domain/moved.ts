import { rest } from './numbers.js';
import type { Resolved } from './ports.js';

export interface Moved {
  readonly movedBytes: bigint;
  readonly skippedBytes: bigint;
}

/**
 * What was moved of so many bytes that were read: those that take space now. Zeros that were read became holes. Where a filesystem
 * counts no blocks nothing tells, and all that was read counts.
 */
export function movedOf(
  { allocatedBytes }: Pick<Resolved, 'allocatedBytes'>,
  readBytes: bigint,
  wholeBytes: bigint,
): Moved {
  const movedBytes = allocatedBytes > 0n && allocatedBytes < readBytes ? allocatedBytes : readBytes;
  return { movedBytes, skippedBytes: rest(wholeBytes, movedBytes) };
}
