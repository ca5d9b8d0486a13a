const PIECE_BYTES = 1024 * 1024;
const ZEROS = Buffer.alloc(PIECE_BYTES);

/** Whether the bytes from `from` to `to`, exclusive, are all zero; true for no bytes. */
export function isZeros(data: Uint8Array, from = 0, to = data.length): boolean {
  // Most data differs in its first byte.
  if (from < to && data[from] !== 0) return false;
  for (let at = from; at < to; at += PIECE_BYTES) {
    const end = Math.min(to, at + PIECE_BYTES);
    if (ZEROS.compare(data, at, end, 0, end - at) !== 0) return false;
  }
  return true;
}
