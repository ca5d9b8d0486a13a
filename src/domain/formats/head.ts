import type { ByteSource } from '../ports/images.js';

/** One read serves the marks, the header and its extensions; more would be thrown away again. */
export const HEAD_BYTES = 8 * 1024;
/** Where formats with a footer have their mark. */
export const FOOTER_BYTES = 512;

/** The same bytes; those of the head and of the footer are read once. */
export function cached(bytes: ByteSource): ByteSource {
  let head: Promise<Buffer> | undefined;
  let footer: Promise<Buffer> | undefined;
  const footerOffset = bytes.lengthBytes - BigInt(FOOTER_BYTES);
  return {
    lengthBytes: bytes.lengthBytes,
    async read(offset, length) {
      if (offset < BigInt(HEAD_BYTES) && offset + BigInt(length) <= BigInt(HEAD_BYTES)) {
        head ??= bytes.read(0n, HEAD_BYTES);
        return (await head).subarray(Number(offset), Number(offset) + length);
      }
      if (offset === footerOffset && length === FOOTER_BYTES) return (footer ??= bytes.read(offset, length));
      return bytes.read(offset, length);
    },
  };
}
