/**
 * The data locations of formats with one table of blocks: vdi, vpc, vhdx, parallels. The source of
 * every rule is their drivers in qemu's block/.
 */
import { vhdxLayout } from '../vhdx.js';
import { isFixedVhd } from '../vpc.js';
import { onDisk, TWO_32, type TablePlace, type MissingPlaces } from './missing-places.js';

const SECTOR = 512;
const UNUSED = 0xffffffff;

/** Checks that all blocks of a VDI lie in the file; records those that do not. */
export async function checkVdi(places: MissingPlaces): Promise<void> {
  const head = await places.header(0n, SECTOR);
  const [blockBytes, dataOffset] = [head.readUInt32LE(0x178), head.readUInt32LE(0x158)];
  const diskBytes = littleEndian(head, 0x170);
  const map = { offset: head.readUInt32LE(0x154), bytes: head.readUInt32LE(0x180) * 4 };
  await blocks(places, map, 4, (data, at, n) => {
    const block = data.readUInt32LE(at);
    // The last but one value stands for zeros.
    if (block >= UNUSED - 1) return;
    places.has('a block of data', dataOffset + block * blockBytes, onDisk(diskBytes, n * blockBytes, blockBytes));
  });
}

/** For a dynamic disk; of a fixed one the footer is the proof. */
export async function checkVpc(places: MissingPlaces): Promise<void> {
  const footer = await places.header(0n, SECTOR);
  if (footer.toString('latin1', 0, 8) !== 'conectix' || (await isFixedVhd(places.bytes))) return;
  const headerOffset = footer.readBigUInt64BE(16);
  const header = await places.header(headerOffset, SECTOR);
  const blockBytes = header.readUInt32BE(32);
  // A bitmap of the block's sectors comes before it.
  const mapBytes = Math.ceil(blockBytes / SECTOR / 8 / SECTOR) * SECTOR;
  const table = { offset: bigEndian(header, 16), bytes: header.readUInt32BE(28) * 4 };
  let end = Math.max(Number(headerOffset) + 2 * SECTOR, table.offset + table.bytes);
  await blocks(places, table, 4, (data, at) => {
    const sector = data.readUInt32BE(at);
    if (sector === UNUSED) return;
    // qemu opens no image whose last block is short.
    end = Math.max(end, sector * SECTOR + mapBytes + blockBytes);
    places.has('a block of data', sector * SECTOR, mapBytes + blockBytes);
  });
  // Some programs omit the footer's last byte.
  places.has('the footer', end, SECTOR - 1);
}

const BLOCK_IS_THERE = 6;
const MIB = 1 << 20;

/** Checks that all regions and blocks of a VHDX lie in the file; records those that do not. */
export async function checkVhdx(places: MissingPlaces): Promise<void> {
  const { blockTable, blockBytes, sizeBytes, blocksPerChunk, regions } = await vhdxLayout(places.bytes);
  for (const { offset, lengthBytes } of regions) places.has('a region', Number(offset), Number(lengthBytes));
  const diskBytes = Number(sizeBytes);
  const place = { offset: Number(blockTable.offset), bytes: Number(blockTable.lengthBytes) };
  await blocks(places, place, 8, (data, at, n) => {
    const low = data.readUInt32LE(at);
    // Each chunk of blocks is followed by an entry for a bitmap, which only differencing disks
    // have.
    if ((low & 7) !== BLOCK_IS_THERE || n % (blocksPerChunk + 1) === blocksPerChunk) return;
    const block = n - Math.floor(n / (blocksPerChunk + 1));
    if (block * blockBytes >= diskBytes) return;
    const offset = Math.floor(littleEndian(data, at) / MIB) * MIB;
    places.has('a block of data', offset, onDisk(diskBytes, block * blockBytes, blockBytes));
  });
}

/** Checks that all blocks of a Parallels disk lie in the file; records those that do not. */
export async function checkParallels(places: MissingPlaces): Promise<void> {
  const head = await places.header(0n, 64);
  const blockBytes = head.readUInt32LE(28) * SECTOR;
  const old = head.toString('latin1', 0, 16) === 'WithoutFreeSpace';
  // The other kind counts blocks.
  const unitBytes = old ? SECTOR : blockBytes;
  const diskBytes = (old ? head.readUInt32LE(36) : littleEndian(head, 36)) * SECTOR;
  await blocks(places, { offset: 64, bytes: head.readUInt32LE(32) * 4 }, 4, (data, at, n) => {
    const entry = data.readUInt32LE(at);
    if (entry !== 0) places.has('a block of data', entry * unitBytes, onDisk(diskBytes, n * blockBytes, blockBytes));
  });
}

async function blocks(
  places: MissingPlaces,
  place: TablePlace,
  entryBytes: number,
  visit: (data: Buffer, at: number, index: number) => void,
): Promise<void> {
  for await (const { data, first, count } of places.table('the block table', place, entryBytes))
    for (let n = 0; n < count; n++) visit(data, n * entryBytes, first + n);
}

function bigEndian(data: Buffer, at: number): number {
  return data.readUInt32BE(at) * TWO_32 + data.readUInt32BE(at + 4);
}

function littleEndian(data: Buffer, at: number): number {
  return data.readUInt32LE(at + 4) * TWO_32 + data.readUInt32LE(at);
}
