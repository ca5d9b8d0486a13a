/**
 * Reads partition tables. The source of every rule is the UEFI specification 2.10, chapter 5, and
 * what BIOSes agree on.
 */
import { crc32 } from 'node:zlib';
import type { Finding } from '../model/image-info.js';
import type { ByteSource } from '../ports/images.js';

const SECTOR = 512;
/** On disks with larger sectors the GPT begins at the second of those. */
const LARGE_SECTOR = 4096;
const [TABLE_OFFSET, ENTRY_BYTES, ENTRIES] = [446, 16, 4];
const [EXTENDED, EXTENDED_LBA, EXTENDED_LINUX, PROTECTIVE] = [0x05, 0x0f, 0x85, 0xee];
const [MIN_HEADER_BYTES, MAX_ARRAY_BYTES] = [92, 1 << 20];

interface Partition {
  readonly type: number;
  readonly first: number;
  readonly sectors: number;
}

/** The entries in use; undefined without such a table, as in the boot sector of a filesystem. */
export async function readMbr(bytes: ByteSource): Promise<readonly Partition[] | undefined> {
  const head = await bytes.read(0n, SECTOR);
  if (head.length < SECTOR || head.readUInt16LE(510) !== 0xaa55) return undefined;
  const entries = Array.from({ length: ENTRIES }, (_, n) => head.subarray(TABLE_OFFSET + n * ENTRY_BYTES));
  if (entries.some((entry) => ![0, 0x80].includes(entry.readUInt8(0)))) return undefined;
  const used = entries
    .map((entry) => ({ type: entry.readUInt8(4), first: entry.readUInt32LE(8), sectors: entry.readUInt32LE(12) }))
    .filter(({ type }) => type !== 0);
  return used.length === 0 ? undefined : used;
}

/** The location of the GPT header, if there is one. */
export async function findGpt(bytes: ByteSource): Promise<{ readonly sectorBytes: number } | undefined> {
  for (const sectorBytes of [SECTOR, LARGE_SECTOR])
    if ((await bytes.read(BigInt(sectorBytes), 8)).toString('latin1') === 'EFI PART') return { sectorBytes };
  return undefined;
}

/**
 * Findings that two kernels could interpret differently, or a partition tool would report. Hostler
 * itself does not use partitions, and sound disks have all of these: a disk that was grown or cut
 * after its last partition, an older table that was left.
 */
export async function partitionFindings(bytes: ByteSource): Promise<Finding[]> {
  const [mbr, gpt] = [await readMbr(bytes), await findGpt(bytes)];
  const sectors = bytes.lengthBytes / BigInt(gpt?.sectorBytes ?? SECTOR);
  const problem =
    (mbr === undefined ? undefined : mbrProblem(mbr, sectors, gpt !== undefined)) ??
    (gpt === undefined ? undefined : await gptProblem(bytes, gpt.sectorBytes, sectors, mbr));
  return problem === undefined ? [] : [{ reason: 'PARTITIONS_BROKEN', message: problem }];
}

function mbrProblem(mbr: readonly Partition[], sectors: bigint, hasGpt: boolean): string | undefined {
  const protective = mbr.some(({ type }) => type === PROTECTIVE);
  if (protective && !hasGpt) return 'the MBR announces a GPT, and there is none';
  if (protective) return undefined;
  for (const { type, first, sectors: length } of mbr) {
    // A partition that begins at offset 0 is the whole disk: FreeBSD's dedicated disks, floppies.
    if (length === 0) return `a partition of type ${String(type)} has no place`;
    const isExtended = [EXTENDED, EXTENDED_LBA, EXTENDED_LINUX].includes(type);
    if (BigInt(first) + (isExtended ? 0n : BigInt(length)) > sectors)
      return 'a partition of the MBR ends beyond the end of the disk';
  }
  const sorted = mbr.toSorted((a, b) => a.first - b.first);
  const overlaps = sorted.some(({ first }, n) => {
    const before = sorted[n - 1];
    return before !== undefined && before.first + before.sectors > first;
  });
  return overlaps ? 'partitions of the MBR overlap' : undefined;
}

async function gptProblem(
  bytes: ByteSource,
  sectorBytes: number,
  sectors: bigint,
  mbr: readonly Partition[] | undefined,
): Promise<string | undefined> {
  const header = await bytes.read(BigInt(sectorBytes), SECTOR);
  if (header.length < SECTOR) return 'the header of the GPT is cut';
  const [headerBytes, count, entryBytes] = [header.readUInt32LE(12), header.readUInt32LE(80), header.readUInt32LE(84)];
  if (headerBytes < MIN_HEADER_BYTES || headerBytes > SECTOR) return 'the header of the GPT has an impossible length';
  const unsigned = Buffer.from(header.subarray(0, headerBytes));
  unsigned.writeUInt32LE(0, 16);
  if (crc32(unsigned) !== header.readUInt32LE(16)) return 'the checksum of the GPT is wrong';
  if (header.readBigUInt64LE(24) !== 1n) return 'the GPT says that it stands elsewhere';
  if (mbr?.some(({ type }) => type === PROTECTIVE) !== true) return 'there is a GPT that the MBR does not announce';
  const [backup, first, last] = [32, 40, 48].map((at) => header.readBigUInt64LE(at));
  if (backup === undefined || first === undefined || last === undefined) return undefined;
  if (backup >= sectors || last >= sectors) return 'the GPT ends beyond the end of the disk';
  if (first > last + 1n) return 'the GPT leaves no room for partitions';
  if (entryBytes < 128 || count * entryBytes > MAX_ARRAY_BYTES) return 'the GPT has more entries than can be';
  const array = await bytes.read(header.readBigUInt64LE(72) * BigInt(sectorBytes), count * entryBytes);
  if (array.length < count * entryBytes || crc32(array) !== header.readUInt32LE(88))
    return 'the checksum of the partitions of the GPT is wrong';
  return undefined;
}
