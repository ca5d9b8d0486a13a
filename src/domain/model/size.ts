/** The unit in which qemu reads and writes. */
export const SECTOR_BYTES = 512n;
/** qemu stores sizes, in whole sectors, as a signed 64-bit number. */
export const MAX_SIZE_BYTES = 2n ** 63n - SECTOR_BYTES;

const UNITS: Readonly<Record<string, bigint>> = { '': 1n, K: 1n << 10n, M: 1n << 20n, G: 1n << 30n, T: 1n << 40n };

/**
 * Bytes, or what is wrong. `10G`, `1.5M`, `1024`; 1024-based; a fraction of a byte is rounded up.
 */
export function parseSize(text: string): bigint | { readonly problem: string } {
  const match = /^([0-9]+)(?:\.([0-9]{1,18}))?([KMGT]?)$/.exec(text);
  if (match === null || text.length > 64)
    return { problem: 'must be a number with an optional K, M, G or T, such as 10G, 1.5M or 1024' };
  const [, whole = '0', fraction = '', unit = ''] = match;
  const scale = 10n ** BigInt(fraction.length);
  const bytes = roundUp(BigInt(whole + fraction) * (UNITS[unit] ?? 1n), scale) / scale;
  return checkSize(bytes);
}

/** The size, or what is wrong with it. */
export function checkSize(bytes: bigint): bigint | { readonly problem: string } {
  return bytes > MAX_SIZE_BYTES ? { problem: 'must be at most 2^63 - 512' } : bytes;
}

/** The value rounded up to a multiple of the unit. */
export function roundUp(value: bigint, unit: bigint): bigint {
  return ((value + unit - 1n) / unit) * unit;
}
