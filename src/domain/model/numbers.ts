/** Counts and sizes, limited to numbers that can be sent: whole numbers from 0 to 2^64-1. */

export const MAX_UINT64 = 2n ** 64n - 1n;

/** The nearest valid size or count. */
export function uint64(value: bigint): bigint {
  if (value < 0n) return 0n;
  return value > MAX_UINT64 ? MAX_UINT64 : value;
}

/** The whole minus the part: 0 if the part is larger, as for a file that has grown. */
export function rest(whole: bigint, part: bigint): bigint {
  return uint64(whole - part);
}

/** A fraction of a total, minus bytes that may not be done yet; NaN counts as 0. */
export function scale(total: bigint, fraction: number, aheadBytes = 0n): bigint {
  const millionths = Number.isNaN(fraction) ? 0 : Math.round(Math.min(1, Math.max(0, fraction)) * 1e6);
  return rest((total * BigInt(millionths)) / 1_000_000n, aheadBytes);
}
