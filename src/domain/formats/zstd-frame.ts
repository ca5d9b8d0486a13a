/** The length of a zstd frame (RFC 8878), for places where its compressed length is not stored. */

const MAGIC = 0xfd2fb528;
const DICTIONARY_BYTES = [0, 1, 2, 4];
const CONTENT_SIZE_BYTES = [0, 2, 4, 8];
const CHECKSUM_BYTES = 4;
const BLOCK_HEADER_BYTES = 3;
/** A block of one byte that is repeated. */
const REPEATED = 1;

/** Bytes of the frame that begins here. Undefined if it is none, or goes on beyond these bytes. */
export function zstdFrameBytes(bytes: Buffer): number | undefined {
  if (bytes.length < 5 || bytes.readUInt32LE(0) !== MAGIC) return undefined;
  const flags = bytes.readUInt8(4);
  const isSingle = (flags & 0x20) !== 0;
  const contentSize = flags < 0x40 && isSingle ? 1 : (CONTENT_SIZE_BYTES[flags >>> 6] ?? 0);
  let at = 5 + (isSingle ? 0 : 1) + (DICTIONARY_BYTES[flags & 3] ?? 0) + contentSize;
  for (;;) {
    if (at + BLOCK_HEADER_BYTES > bytes.length) return undefined;
    const header = bytes.readUIntLE(at, BLOCK_HEADER_BYTES);
    const isRepeated = ((header >>> 1) & 3) === REPEATED;
    at += BLOCK_HEADER_BYTES + (isRepeated ? 1 : header >>> 3);
    if ((header & 1) !== 0) break;
  }
  const end = at + ((flags & 4) === 0 ? 0 : CHECKSUM_BYTES);
  return end <= bytes.length ? end : undefined;
}
