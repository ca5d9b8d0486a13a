/**
 * Reads VHDX headers. The source of every rule is Microsoft's VHDX specification 1.00 and
 * block/vhdx.c of qemu.
 */
import type { Finding, ImageFacts } from '../model/image-info.js';
import type { ByteSource } from '../ports/images.js';
import { crc32c } from './crc32c.js';
import { isLogPending } from './vhdx-log.js';
import { imageFacts, isPowerOfTwo, malformed, readExactly, sizeFindings, tableFindings, units } from './facts.js';

const KIB = 1024;
const MIB = 1024 * KIB;
const HEADERS = [64 * KIB, 128 * KIB].map(BigInt);
const HEADER_BYTES = 4 * KIB;
const REGION_TABLES = [192 * KIB, 256 * KIB].map(BigInt);
const TABLE_BYTES = 64 * KIB;
const [MAX_REGIONS, MAX_ITEMS] = [2047, 2047];
const ENTRY_BYTES = 32;
const METADATA_REGION = guid('8b7ca206-4790-4b9a-b8fe-575f050f886e');
const BAT_REGION = guid('2dc27766-f623-4200-9d64-115e9bfd4a08');
const FILE_PARAMETERS = guid('caa16737-fa36-4d43-b3b6-33f0aa44e76b');
const LOGICAL_SECTOR = guid('8141bf1d-a96f-4709-ba47-f233a8faab5f');
const VIRTUAL_SIZE = guid('2fa54224-cd1b-4876-b211-5dbed83bf4b8');
/** Sectors that one sector bitmap describes. */
const CHUNK_SECTORS = 1n << 23n;
const [IS_FIXED, HAS_PARENT] = [1, 2];
const MAX_BLOCK_BYTES = 256 * MIB;
const MAX_VIRTUAL_BYTES = 64n << 40n;

/**
 * Facts of a VHDX disk. `dirty` means that its log must be replayed first. Fails with
 * IMAGE_MALFORMED.
 */
export async function readVhdx(bytes: ByteSource): Promise<ImageFacts> {
  const dirty = await isLogPending(bytes, await currentHeader(bytes));
  const blocks = await blocksOf(bytes, await regionsOf(bytes));
  const { blockBytes, sizeBytes, sectorBytes, hasParent, isFixed } = blocks;
  return imageFacts('vhdx', sizeBytes, {
    ...(sectorBytes === 512 ? {} : { sectorBytes }),
    clusterSizeBytes: BigInt(blockBytes),
    subformat: isFixed ? 'fixed' : 'dynamic',
    dirty,
    findings: [...findings(dirty, hasParent), ...blockTableFindings(bytes, blocks)],
  });
}

/** The location of every region. Fails as `readVhdx`. */
export async function vhdxLayout(bytes: ByteSource): Promise<{
  readonly blockTable: Region;
  readonly blockBytes: number;
  readonly sizeBytes: bigint;
  /** After this many blocks comes one entry for a sector bitmap. */
  readonly blocksPerChunk: number;
  readonly regions: readonly Region[];
}> {
  const regions = await regionsOf(bytes);
  const { blockTable, blockBytes, sizeBytes, sectorBytes } = await blocksOf(bytes, regions);
  const header = await currentHeader(bytes);
  const log = { offset: header.readBigUInt64LE(72), lengthBytes: BigInt(header.readUInt32LE(68)) };
  const blocksPerChunk = Number((CHUNK_SECTORS * BigInt(sectorBytes)) / BigInt(blockBytes));
  return { blockTable, blockBytes, sizeBytes, blocksPerChunk, regions: [regions.metadata, log] };
}

async function blocksOf(bytes: ByteSource, { metadata: { offset }, blockTable }: Regions) {
  const table = await readExactly(bytes, offset, TABLE_BYTES, 'vhdx');
  if (table.toString('latin1', 0, 8) !== 'metadata') throw malformed('vhdx', 'the metadata table is missing');
  const items = entries(table, table.readUInt16LE(10), MAX_ITEMS, 32);
  const item = async (id: string, length: number) => {
    const entry = items.find((candidate) => id === candidate.toString('hex', 0, 16));
    if (entry === undefined) throw malformed('vhdx', 'a metadata item is missing');
    return readExactly(bytes, offset + BigInt(entry.readUInt32LE(16)), length, 'vhdx');
  };
  const parameters = await item(FILE_PARAMETERS, 8);
  const sizeBytes = (await item(VIRTUAL_SIZE, 8)).readBigUInt64LE(0);
  const sectorBytes = (await item(LOGICAL_SECTOR, 4)).readUInt32LE(0);
  const blockBytes = parameters.readUInt32LE(0);
  if (!isPowerOfTwo(blockBytes) || blockBytes < MIB || blockBytes > MAX_BLOCK_BYTES)
    throw malformed('vhdx', `the block size is ${String(blockBytes)}`);
  if (sectorBytes !== 512 && sectorBytes !== 4096)
    throw malformed('vhdx', `the sectors have ${String(sectorBytes)} bytes`);
  if (sizeBytes > MAX_VIRTUAL_BYTES || sizeBytes % 512n !== 0n)
    throw malformed('vhdx', `the virtual size is ${String(sizeBytes)}`);
  const flags = parameters.readUInt32LE(4);
  const [hasParent, isFixed] = [(flags & HAS_PARENT) !== 0, (flags & IS_FIXED) !== 0];
  return { blockTable, blockBytes, sizeBytes, sectorBytes, hasParent, isFixed };
}

function findings(dirty: boolean, hasParent: boolean): Finding[] {
  return [
    ...(hasParent ? [{ reason: 'NAMES_OTHER_FILES', message: 'it is a difference to another VHDX' } as const] : []),
    ...(dirty ? [{ reason: 'LOG_PENDING', message: 'its log has entries that were not applied' } as const] : []),
  ];
}

/** The valid header of the two with the higher sequence number. */
async function currentHeader(bytes: ByteSource): Promise<Buffer> {
  const headers: Buffer[] = [];
  for (const offset of HEADERS) {
    const header = await readExactly(bytes, offset, HEADER_BYTES, 'vhdx');
    if (isValid(header, 'head')) headers.push(header);
  }
  const current = headers.reduce<Buffer | undefined>(
    (best, header) => (best === undefined || header.readBigUInt64LE(8) > best.readBigUInt64LE(8) ? header : best),
    undefined,
  );
  if (current === undefined) throw malformed('vhdx', 'neither header is valid');
  return current;
}

interface Region {
  readonly offset: bigint;
  readonly lengthBytes: bigint;
}

interface Regions {
  readonly metadata: Region;
  readonly blockTable: Region;
}

/** The entry of a bitmap follows the entries of the blocks that it describes. */
function blockTableFindings(bytes: ByteSource, blocks: Awaited<ReturnType<typeof blocksOf>>): Finding[] {
  const { blockTable: table, sizeBytes, sectorBytes } = blocks;
  const blockBytes = BigInt(blocks.blockBytes);
  const blocksPerChunk = (CHUNK_SECTORS * BigInt(sectorBytes)) / blockBytes;
  const withBitmaps = (blocks: bigint) => blocks + (blocks === 0n ? 0n : (blocks - 1n) / blocksPerChunk);
  const needed = withBitmaps(units(sizeBytes, blockBytes)) * 8n;
  const chunks = table.lengthBytes / 8n / (blocksPerChunk + 1n);
  const rest = (table.lengthBytes / 8n) % (blocksPerChunk + 1n);
  return [
    ...sizeFindings(sizeBytes, (chunks * blocksPerChunk + rest) * blockBytes),
    ...tableFindings(bytes, { what: 'block table', ...table, neededBytes: needed }),
  ];
}

async function regionsOf(bytes: ByteSource): Promise<Regions> {
  for (const offset of REGION_TABLES) {
    const table = await readExactly(bytes, offset, TABLE_BYTES, 'vhdx');
    if (!isValid(table, 'regi')) continue;
    const regions = entries(table, table.readUInt32LE(8), MAX_REGIONS, 16);
    const unknown = regions.find(
      (region) =>
        ![METADATA_REGION, BAT_REGION].includes(region.toString('hex', 0, 16)) && region.readUInt32LE(28) !== 0,
    );
    if (unknown !== undefined) throw malformed('vhdx', 'an unknown region is required');
    const find = (id: string) => regions.find((region) => region.toString('hex', 0, 16) === id);
    const [metadata, blocks] = [find(METADATA_REGION), find(BAT_REGION)];
    if (metadata === undefined || blocks === undefined) throw malformed('vhdx', 'a region is missing');
    const place = (entry: Buffer) => ({
      offset: entry.readBigUInt64LE(16),
      lengthBytes: BigInt(entry.readUInt32LE(24)),
    });
    return { metadata: place(metadata), blockTable: place(blocks) };
  }
  throw malformed('vhdx', 'neither region table is valid');
}

function entries(table: Buffer, count: number, most: number, from: number): Buffer[] {
  if (count > most || from + count * ENTRY_BYTES > table.length)
    throw malformed('vhdx', `a table has ${String(count)} entries`);
  return Array.from({ length: count }, (_, n) => table.subarray(from + n * ENTRY_BYTES, from + (n + 1) * ENTRY_BYTES));
}

/** Whether the signature matches, and the checksum, with its own field as zeros, is right. */
function isValid(structure: Buffer, signature: string): boolean {
  if (structure.toString('latin1', 0, 4) !== signature) return false;
  const unsigned = Buffer.from(structure);
  unsigned.writeUInt32LE(0, 4);
  return crc32c(unsigned) === structure.readUInt32LE(4);
}

/** The stored form of a GUID: the first three groups are little-endian. */
function guid(text: string): string {
  const [a = '', b = '', c = '', ...rest] = text.split('-');
  return [a, b, c].map((group) => Buffer.from(group, 'hex').reverse().toString('hex')).join('') + rest.join('');
}
