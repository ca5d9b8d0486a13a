/**
 * Marks of one or two bytes prove nothing: these functions check the fields after them. Heads are
 * padded.
 */
import { inflateSync, constants } from 'node:zlib';

/** Limit for a trial decompression. */
const MOST_INFLATED = 1 << 20;

/** RFC 1950: the first two bytes are a multiple of 31, followed by a deflate stream. */
export function isZlib(head: Buffer): boolean {
  if (head.readUInt16BE(0) % 31 !== 0) return false;
  try {
    // The head may be cut in the middle.
    inflateSync(head, { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: MOST_INFLATED });
    return true;
  } catch (error) {
    return error instanceof RangeError;
  }
}

/** Checks the archive header (type 2) by its sizes. */
export function isArj(head: Buffer): boolean {
  const [size, first, system, type] = [head.readUInt16LE(2), head.readUInt8(4), head.readUInt8(7), head.readUInt8(10)];
  return size <= 2600 && first >= 30 && first <= size && system <= 11 && type === 2;
}

/** The file type box comes first, with its compatible brands. */
export function isMp4(head: Buffer): boolean {
  const size = head.readUInt32BE(0);
  return size >= 16 && size <= 4096 && size % 4 === 0;
}

const BMP_HEADERS = [12, 40, 52, 56, 64, 108, 124];

/** The reserved fields are zero, the header length is a valid one, and there is one plane. */
export function isBmp(head: Buffer): boolean {
  const header = head.readUInt32LE(14);
  const planes = head.readUInt16LE(header === 12 ? 22 : 26);
  return head.readUInt32LE(6) === 0 && BMP_HEADERS.includes(header) && head.readUInt32LE(10) >= 26 && planes === 1;
}

const [PUBLIC_KEY, PASSPHRASE] = [1, 3];
/** Packets that can follow a key packet: another key, or encrypted data (RFC 9580, 10.3). */
const BEHIND_KEYS = [PUBLIC_KEY, PASSPHRASE, 9, 18, 20];

/** An encrypted message: a packet with a key for it, followed by a packet that may follow one. */
export function isOpenPgp(head: Buffer): boolean {
  const packet = packetAt(head, 0);
  if (packet === undefined || packet.end > 2048 || !isKey(head, packet)) return false;
  const next = packetAt(head, packet.end);
  return next !== undefined && BEHIND_KEYS.includes(next.tag);
}

interface Packet {
  readonly tag: number;
  readonly body: number;
  readonly end: number;
}

/**
 * Only the lengths that key packets use are decoded; others are partial lengths of encrypted data,
 * which are not needed.
 */
function packetAt(head: Buffer, at: number): Packet | undefined {
  const first = head.readUInt8(at);
  if (first < 0x80) return undefined;
  const [one, two] = [head.readUInt8(at + 1), head.readUInt8(at + 2)];
  const made = (tag: number, body: number, length: number) => ({ tag, body: at + body, end: at + body + length });
  if (first >= 0xc0) return one < 192 ? made(first & 63, 2, one) : made(first & 63, 3, (one - 192) * 256 + two + 192);
  const tag = (first >> 2) & 15;
  return (first & 3) === 0 ? made(tag, 2, one) : made(tag, 3, one * 256 + two);
}

/** Whether version and algorithm are valid. */
function isKey(head: Buffer, { tag, body }: Packet): boolean {
  const version = head.readUInt8(body);
  if (tag === PUBLIC_KEY) return version === 3 && [1, 2, 16, 18, 25, 26].includes(head.readUInt8(body + 9));
  const [cipher, derivation] = [head.readUInt8(body + 1), head.readUInt8(body + 2)];
  const known = cipher >= 1 && cipher <= 13 && [0, 1, 3, 4].includes(derivation);
  return tag === PASSPHRASE && version === 4 && known;
}
