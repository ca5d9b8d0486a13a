/** Counts and sizes, made so that each can be sent: whole numbers from 0 to 2^64-1. */

export const MAX_UINT64 = 2n ** 64n - 1n;

/** The nearest number that a size or count can be. */
export function uint64(value: bigint): bigint {
  if (value < 0n) return 0n;
  return value > MAX_UINT64 ? MAX_UINT64 : value;
}

/**
 * What is left of the whole without the part: 0 when the part is more, such as of a file that has
 * grown.
 */
export function rest(whole: bigint, part: bigint): bigint {
  return uint64(whole - part);
}

/**
 * The part of a total that a fraction stands for, less what may not be done of it; a fraction that
 * is no number stands for nothing.
 */
export function scale(total: bigint, fraction: number, aheadBytes = 0n): bigint {
  const millionths = Number.isNaN(fraction) ? 0 : Math.round(Math.min(1, Math.max(0, fraction)) * 1e6);
  return rest((total * BigInt(millionths)) / 1_000_000n, aheadBytes);
}
