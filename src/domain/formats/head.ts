import type { ByteSource } from '../ports/images.js';

/** One read covers the marks, the header and its extensions; more would be unused. */
export const HEAD_BYTES = 8 * 1024;
/** Formats with a footer have their mark in these last bytes. */
export const FOOTER_BYTES = 512;

/** A source that reads the head and the footer only once. */
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
