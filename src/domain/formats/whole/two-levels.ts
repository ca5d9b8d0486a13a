/**
 * The locations of tables and data in formats with two levels of tables: qcow, qed, vmdk. The
 * source of every rule is their drivers in qemu's block/.
 */
import { onDisk, TWO_32, type TablePlace, type MissingPlaces } from './missing-places.js';

const SECTOR = 512;

/** Checks that all tables and clusters of a qcow lie in the file; records those that do not. */
export async function checkQcow(places: MissingPlaces): Promise<void> {
  const head = await places.header(0n, 48);
  const [clusterBits, l2Bits, diskBytes] = [head.readUInt8(32), head.readUInt8(33), bigEndian(head, 24)];
  const clusterBytes = 2 ** clusterBits;
  const span = 2 ** (clusterBits + l2Bits);
  const l1 = { offset: bigEndian(head, 40), bytes: Math.ceil(diskBytes / span) * 8 };
  // The length of a compressed cluster is stored above its offset.
  const shift = 63 - clusterBits - 32;
  const visit = (data: Buffer, at: number, start: number) => {
    const high = data.readUInt32BE(at);
    if (high >>> 31 === 1) {
      const offset = (high & (2 ** shift - 1)) * TWO_32 + data.readUInt32BE(at + 4);
      places.has('a compressed cluster', offset, (high >>> shift) & (clusterBytes - 1));
      return;
    }
    const offset = bigEndian(data, at);
    if (offset !== 0) places.has('a cluster of data', offset, onDisk(diskBytes, start, clusterBytes));
  };
  await tables(places, 'the L1 table', l1, { entryBytes: 8, span, offsetOf: bigEndian }, (table, start) =>
    entries(places, 'an L2 table', { offset: table, bytes: 2 ** l2Bits * 8 }, 8, (data, at, n) => {
      visit(data, at, start + n * clusterBytes);
    }),
  );
}

/** Checks that all tables and clusters of a QED lie in the file; records those that do not. */
export async function checkQed(places: MissingPlaces): Promise<void> {
  const head = await places.header(0n, 64);
  const clusterBytes = head.readUInt32LE(4);
  const tableBytes = head.readUInt32LE(8) * clusterBytes;
  const span = (tableBytes / 8) * clusterBytes;
  const l1 = { offset: littleEndian(head, 40), bytes: tableBytes };
  await tables(places, 'the L1 table', l1, { entryBytes: 8, span, offsetOf: littleEndian }, (table) =>
    entries(places, 'an L2 table', { offset: table, bytes: tableBytes }, 8, (data, at) => {
      const offset = littleEndian(data, at);
      // 1 is a cluster of zeros. qemu opens no image whose last cluster is short.
      if (offset > 1) places.has('a cluster of data', offset, clusterBytes);
    }),
  );
}

const [COMPRESSED_GRAINS, ZERO_GRAINS] = [0x10000, 4];
/** The grain's address, and the length of its data. */
const GRAIN_MARKER_BYTES = 12;

/** Reads the valid header: the one at the end if only that names the directory. */
export async function checkVmdk(places: MissingPlaces): Promise<void> {
  const start = await places.header(0n, SECTOR);
  // Descriptors and redo logs have no tables that are checked here, and no tool opens them.
  if (start.toString('latin1', 0, 4) !== 'KDMV' || littleEndian(start, 12) === 0) return;
  const atEnd = start.readBigUInt64LE(56) === 2n ** 64n - 1n;
  const head = atEnd ? await places.header(places.bytes.lengthBytes - 1024n, SECTOR) : start;
  const [flags, diskBytes] = [head.readUInt32LE(8), littleEndian(head, 12) * SECTOR];
  const [grainBytes, perTable] = [littleEndian(head, 20) * SECTOR, head.readUInt32LE(44)];
  const span = grainBytes * perTable;
  const directory = { offset: littleEndian(head, 56) * SECTOR, bytes: Math.ceil(diskBytes / span) * 4 };
  const sectorOf = (data: Buffer, at: number) => data.readUInt32LE(at) * SECTOR;
  const packed = (flags & COMPRESSED_GRAINS) !== 0;
  const shape = { entryBytes: 4, span, offsetOf: sectorOf };
  await tables(places, 'the grain directory', directory, shape, (table, tableStart) =>
    entries(places, 'a grain table', { offset: table, bytes: perTable * 4 }, 4, async (data, at, n) => {
      const sector = data.readUInt32LE(at);
      if (sector === 0 || (sector === 1 && (flags & ZERO_GRAINS) !== 0)) return;
      const needed = onDisk(diskBytes, tableStart + n * grainBytes, grainBytes);
      if (packed) await packedGrain(places, sector * SECTOR, grainBytes);
      else places.has('a grain of data', sector * SECTOR, needed);
    }),
  );
}

/**
 * The length is read only near the end of the file: qemu accepts no compressed grain twice as long
 * as a grain.
 */
async function packedGrain(places: MissingPlaces, offset: number, grainBytes: number): Promise<void> {
  if (offset + GRAIN_MARKER_BYTES + 2 * grainBytes <= places.lengthBytes) return;
  if (!places.has('a compressed grain', offset, GRAIN_MARKER_BYTES)) return;
  places.spend(SECTOR);
  const marker = await places.header(BigInt(offset), GRAIN_MARKER_BYTES);
  places.has('a compressed grain', offset, GRAIN_MARKER_BYTES + marker.readUInt32LE(8));
}

/** A table of tables: the size of an entry, how much of the disk it covers, and where it points. */
interface Shape {
  readonly entryBytes: number;
  readonly span: number;
  readonly offsetOf: (data: Buffer, at: number) => number;
}

async function tables(
  places: MissingPlaces,
  what: string,
  place: TablePlace,
  { entryBytes, span, offsetOf }: Shape,
  visit: (tableOffset: number, startBytes: number) => Promise<void>,
): Promise<void> {
  await entries(places, what, place, entryBytes, async (data, at, n) => {
    const offset = offsetOf(data, at);
    if (offset !== 0) await visit(offset, n * span);
  });
}

async function entries(
  places: MissingPlaces,
  what: string,
  place: TablePlace,
  entryBytes: number,
  visit: (data: Buffer, at: number, index: number) => Promise<void> | void,
): Promise<void> {
  for await (const { data, first, count } of places.table(what, place, entryBytes))
    for (let n = 0; n < count; n++) {
      const waiting = visit(data, n * entryBytes, first + n);
      if (waiting !== undefined) await waiting;
    }
}

function bigEndian(data: Buffer, at: number): number {
  return data.readUInt32BE(at) * TWO_32 + data.readUInt32BE(at + 4);
}

function littleEndian(data: Buffer, at: number): number {
  return data.readUInt32LE(at + 4) * TWO_32 + data.readUInt32LE(at);
}
