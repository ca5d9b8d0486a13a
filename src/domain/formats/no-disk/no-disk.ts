/** Recognises by its beginning a file that is certainly not a disk. */
import { MARKS } from './marks.js';
import { isText, textName } from './texts.js';

/** How much of a file `noDisk` gets; of a shorter file, all. */
export const HEAD_BYTES = 64 << 10;
const TAR_HEADER_BYTES = 512;
const [TAR_SUM_OFFSET, TAR_SUM_BYTES] = [148, 8];

/** The kind of a file that begins like this, with an article; undefined: it may be a disk. */
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

/** The kind of an archive that single files can be extracted from. */
export function archiveKind(head: Buffer): 'tar' | 'zip' | undefined {
  if (head.toString('latin1', 0, 4) === 'PK\x03\x04') return 'zip';
  return isTar(head) ? 'tar' : undefined;
}

/** A tar header contains the sum of its bytes, in which the field of the sum counts as blanks. */
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
