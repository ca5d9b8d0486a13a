/** Tells what is certainly no disk by how it begins. */
import { MARKS } from './marks.js';
import { isText, textName } from './texts.js';

/** What `noDisk` is given of a file, or all of a shorter one. */
export const HEAD_BYTES = 64 << 10;
const TAR_HEADER_BYTES = 512;
const [TAR_SUM_OFFSET, TAR_SUM_BYTES] = [148, 8];

/** What begins like this, in words with an article; undefined: it may be a disk. */
export function noDisk(head: Buffer, lengthBytes: bigint): string | undefined {
  const padded = head.length < HEAD_BYTES ? Buffer.concat([head], HEAD_BYTES) : head;
  const mark = MARKS.find(
    ({ offset = 0, hex, holds }) =>
      padded.toString('hex', offset, offset + hex.length / 2) === hex && holds?.(padded) !== false,
  );
  if (mark !== undefined) return mark.name;
  if (isTar(head)) return 'a tar archive';
  return textName(head) ?? (BigInt(head.length) === lengthBytes && isText(head) ? 'a text' : undefined);
}

/** The kind of an archive that single files can be taken out of. */
export function archiveKind(head: Buffer): 'tar' | 'zip' | undefined {
  if (head.toString('latin1', 0, 4) === 'PK\x03\x04') return 'zip';
  return isTar(head) ? 'tar' : undefined;
}

/** Every tar has the sum of its header's bytes in it, the sum itself counted as blanks. */
function isTar(head: Buffer): boolean {
  if (head.length < TAR_HEADER_BYTES || head[0] === 0) return false;
  const sum = Number.parseInt(head.toString('latin1', TAR_SUM_OFFSET, TAR_SUM_OFFSET + TAR_SUM_BYTES).trim(), 8);
  const header = Buffer.from(head.subarray(0, TAR_HEADER_BYTES)).fill(
    ' ',
    TAR_SUM_OFFSET,
    TAR_SUM_OFFSET + TAR_SUM_BYTES,
  );
  return header.reduce((total, byte) => total + byte, 0) === sum;
}
