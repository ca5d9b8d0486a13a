import type { ByteSource } from '../ports/images.js';
import type { Compression } from '../ports/sources.js';

const MARKS: Readonly<Record<Compression, string>> = {
  gzip: '1f8b08',
  xz: 'fd377a585a00',
  zstd: '28b52ffd',
  // `BZh`, and a digit.
  bzip2: '425a68',
};
/** A block of bzip2, or the end of a stream without blocks. */
const BZIP2_BLOCKS = ['314159265359', '177245385090'];
const HEAD_BYTES = 10;
/** Files of pzstd, and seekable zstd files, begin with such a frame. */
const [SKIPPABLE, SKIPPABLE_HEAD_BYTES] = [0x184d2a5, 8n];
const MAX_SKIPPED = 64;

/** The compression of the bytes, if Hostler supports it. */
export async function compressionOf(bytes: ByteSource): Promise<Compression | undefined> {
  let at = 0n;
  for (let skipped = 0; skipped <= MAX_SKIPPED; skipped++) {
    const head = await bytes.read(at, HEAD_BYTES);
    // Only zstd allows another frame after a skippable one: lz4 has another mark.
    if (head.length < HEAD_BYTES || head.readUInt32LE(0) >>> 4 !== SKIPPABLE)
      return at === 0n ? markOf(head) : begins(head, MARKS.zstd) ? 'zstd' : undefined;
    at += SKIPPABLE_HEAD_BYTES + BigInt(head.readUInt32LE(4));
  }
  return undefined;
}

function markOf(head: Buffer): Compression | undefined {
  if (begins(head, MARKS.gzip)) return 'gzip';
  if (begins(head, MARKS.xz)) return 'xz';
  if (begins(head, MARKS.zstd)) return 'zstd';
  return begins(head, MARKS.bzip2) && BZIP2_BLOCKS.includes(head.toString('hex', 4, 10)) ? 'bzip2' : undefined;
}

function begins(head: Buffer, hex: string): boolean {
  return head.toString('hex', 0, hex.length / 2) === hex;
}
