import type { ByteSource } from '../ports.js';

/** One read serves the marks, the header and its extensions; more would be thrown away again. */
const HEAD_BYTES = 8 * 1024;

/** The same bytes; those of the head are read once. */
export function cached(bytes: ByteSource): ByteSource {
  let head: Promise<Buffer> | undefined;
  return {
    lengthBytes: bytes.lengthBytes,
    async read(offset, length) {
      if (offset + BigInt(length) > BigInt(HEAD_BYTES)) return bytes.read(offset, length);
      head ??= bytes.read(0n, HEAD_BYTES);
      return (await head).subarray(Number(offset), Number(offset) + length);
    },
  };
}
