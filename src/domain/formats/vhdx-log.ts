/**
 * Whether the log of a VHDX has to be applied. The source of every rule is section 2.3 of
 * Microsoft's specification and block/vhdx-log.c of qemu.
 */
import { breathe } from '../model/async.js';
import type { ByteSource } from '../ports/images.js';
import { crc32c } from './crc32c.js';

const SECTOR_BYTES = 4096;
const GUID_BYTES = 16;
/** Offsets in a header. */
const [LOG_GUID, LOG_LENGTH, LOG_OFFSET] = [48, 68, 72];
/** Fields of a log entry: its guid equals that of the log while the log is in use. */
const ENTRY = { signature: 'loge', checksum: 4, length: 8, sequence: 16, guid: 32 } as const;
/** Hyper-V and qemu create logs of 1 MiB; a longer log is not read, and counts as pending. */
const MAX_LOG_BYTES = 4 << 20;
/**
 * Entries of a malicious log can overlap: at most this much is checksummed; a log with more counts
 * as pending.
 */
const MAX_SUMMED_BYTES = 1 << 20;
/** Checksummed in one step of some milliseconds; then other work gets a turn. */
const PIECE_BYTES = 128 << 10;

/**
 * Whether the header names a log with at least one intact entry. A log that is empty, or whose
 * entries were applied, is not pending.
 */
export async function isLogPending(bytes: ByteSource, header: Buffer): Promise<boolean> {
  const guid = header.subarray(LOG_GUID, LOG_GUID + GUID_BYTES);
  const length = header.readUInt32LE(LOG_LENGTH);
  if (length === 0 || !guid.some((byte) => byte !== 0)) return false;
  if (length > MAX_LOG_BYTES) return true;
  const log = await bytes.read(header.readBigUInt64LE(LOG_OFFSET), length);
  // Beyond the end of the file there is nothing to apply; the check of the tables finds a truncated
  // file.
  let summed = 0;
  for (let at = 0; at + SECTOR_BYTES <= log.length; at += SECTOR_BYTES) {
    const entryBytes = lengthOfEntry(log, at, guid);
    if (entryBytes === undefined) continue;
    summed += entryBytes;
    if (summed > MAX_SUMMED_BYTES || (await isWhole(log, at, entryBytes))) return true;
  }
  return false;
}

/** Undefined if no entry of this log begins there. */
function lengthOfEntry(log: Buffer, at: number, guid: Buffer): number | undefined {
  const length = log.readUInt32LE(at + ENTRY.length);
  const isEntry =
    log.toString('latin1', at, at + ENTRY.signature.length) === ENTRY.signature &&
    log.subarray(at + ENTRY.guid, at + ENTRY.guid + GUID_BYTES).equals(guid) &&
    log.readBigUInt64LE(at + ENTRY.sequence) > 0n &&
    length >= SECTOR_BYTES &&
    length % SECTOR_BYTES === 0 &&
    length <= log.length;
  return isEntry ? length : undefined;
}

/** Whether its checksum, with the checksum field as zeros, is right; the log is a ring buffer. */
async function isWhole(log: Buffer, at: number, length: number): Promise<boolean> {
  const entry = Buffer.concat([log.subarray(at, at + length), log.subarray(0, Math.max(0, at + length - log.length))]);
  const checksum = entry.readUInt32LE(ENTRY.checksum);
  entry.writeUInt32LE(0, ENTRY.checksum);
  let sum = 0;
  for (let from = 0; from < length; from += PIECE_BYTES) {
    sum = crc32c(entry.subarray(from, from + PIECE_BYTES), sum);
    await breathe();
  }
  return sum === checksum;
}
