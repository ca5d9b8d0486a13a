/**
 * The locations of a qcow2's tables and data. The source of every rule is docs/interop/qcow2.txt of
 * qemu.
 */
import { inflateRawSync, zstdDecompressSync } from 'node:zlib';
import { readExtensions } from '../qcow2.js';
import {
  COMPRESSION_TYPE,
  EXTENDED_L2,
  SUBCLUSTERS,
  ZSTD,
  compressedPlace,
  hostOffset,
  isCompressed,
  isZero,
  numberAt,
} from '../qcow2-entries.js';
import { readSnapshotTables } from '../qcow2-snapshots.js';
import { checkBitmaps } from './qcow2-bitmaps.js';
import { onDisk, type TablePlace, type MissingPlaces } from './missing-places.js';

const HEADER_BYTES = 112;
const SECTOR = 512;
/**
 * Limit of clusters that are decompressed: each ends in the last sector of the file, and occupies
 * at least a byte of it.
 */
const MAX_EXPANDED = SECTOR;

interface Layout {
  readonly clusterBits: number;
  readonly clusterBytes: number;
  /** Whether an entry has a second half with a bitmap of the allocated subclusters. */
  readonly extended: boolean;
  readonly zstd: boolean;
  /** For compressed clusters, by their offsets, whether the available bytes are complete. */
  readonly expanded: Map<number, boolean>;
}

/** A table of tables, and the disk that it describes. */
interface Disk {
  readonly table: TablePlace;
  readonly diskBytes: number;
}

/**
 * Checks that all tables and clusters of a qcow2 lie in the file, including those of snapshots and
 * bitmaps; records those that do not.
 */
export async function checkQcow2(places: MissingPlaces): Promise<void> {
  const head = await places.header(0n, HEADER_BYTES);
  const version = head.readUInt32BE(4);
  const features = version === 3 ? head.readUInt32BE(76) : 0;
  const clusterBits = head.readUInt32BE(20);
  const layout: Layout = {
    clusterBits,
    clusterBytes: 2 ** clusterBits,
    extended: (features & EXTENDED_L2) !== 0,
    zstd: (features & COMPRESSION_TYPE) !== 0 && head[104] === ZSTD,
    expanded: new Map(),
  };
  await refcounts(places, { offset: numberAt(head, 48), bytes: head.readUInt32BE(56) * layout.clusterBytes }, layout);
  const diskBytes = numberAt(head, 24);
  await guestDisk(
    places,
    { table: { offset: numberAt(head, 40), bytes: head.readUInt32BE(36) * 8 }, diskBytes },
    layout,
  );
  const snapshots = { count: head.readUInt32BE(60), offset: head.readBigUInt64BE(64) };
  for (const { facts, tableOffset, tableEntries } of await readSnapshotTables(places.bytes, snapshots)) {
    const table = { offset: Number(tableOffset), bytes: tableEntries * 8 };
    const size = facts.virtualSizeBytes === undefined ? diskBytes : Number(facts.virtualSizeBytes);
    await guestDisk(places, { table, diskBytes: size }, layout);
  }
  const { bitmaps, keys } = await readExtensions(places.bytes, head, layout.clusterBytes);
  if (keys !== undefined) places.has('the header of its keys', numberAt(keys, 0), numberAt(keys, 8));
  if (version === 3) await checkBitmaps(places, head, bitmaps, layout.clusterBytes);
}

async function refcounts(places: MissingPlaces, table: TablePlace, { clusterBytes }: Layout): Promise<void> {
  for await (const { data, count } of places.table('the refcount table', table, 8))
    for (let n = 0; n < count; n++) {
      const offset = numberAt(data, n * 8) - (data.readUInt32BE(n * 8 + 4) % SECTOR);
      if (offset !== 0) places.has('a block of refcounts', offset, clusterBytes);
    }
}

async function guestDisk(places: MissingPlaces, { table, diskBytes }: Disk, layout: Layout): Promise<void> {
  const { clusterBytes, extended } = layout;
  const tableSpan = (clusterBytes / (extended ? 16 : 8)) * clusterBytes;
  for await (const { data, first, count } of places.table('an L1 table', table, 8))
    for (let n = 0; n < count; n++) {
      const offset = hostOffset(data, n * 8);
      if (offset !== 0) await clusters(places, offset, { diskBytes, start: (first + n) * tableSpan }, layout);
    }
}

/** Checks the clusters of one L2 table; the table's part of the disk begins at `start`. */
async function clusters(
  places: MissingPlaces,
  offset: number,
  { diskBytes, start }: { readonly diskBytes: number; readonly start: number },
  layout: Layout,
): Promise<void> {
  const { clusterBytes, extended } = layout;
  const entryBytes = extended ? 16 : 8;
  const table = { offset, bytes: clusterBytes };
  for await (const { data, first, count } of places.table('an L2 table', table, entryBytes))
    for (let n = 0; n < count; n++) {
      const at = n * entryBytes;
      if (isCompressed(data, at)) await compressed(places, data, at, layout);
      else {
        const host = hostOffset(data, at);
        if (host === 0) continue;
        const needed = extended
          ? subclusters(data.readUInt32BE(at + 12), clusterBytes)
          : isZero(data, at)
            ? 0
            : clusterBytes;
        const there = Math.min(needed, onDisk(diskBytes, start + (first + n) * clusterBytes, clusterBytes));
        if (there > 0) places.has('a cluster of data', host, there);
      }
    }
}

/** Up to the last allocated subcluster. */
function subclusters(allocated: number, clusterBytes: number): number {
  return ((SUBCLUSTERS - Math.clz32(allocated)) * clusterBytes) / SUBCLUSTERS;
}

/**
 * The length of a compressed cluster is known in sectors only, and a program need not fill the last
 * one. If the file ends in it, the available bytes must decompress to a whole cluster.
 */
async function compressed(places: MissingPlaces, data: Buffer, at: number, layout: Layout): Promise<void> {
  const { from: offset, to: end } = compressedPlace(data, at, layout.clusterBits);
  const isCut = end > places.lengthBytes;
  if (isCut && end - places.lengthBytes < SECTOR && (await isAllThere(places, offset, layout))) return;
  places.has('a compressed cluster', offset, end - offset);
}

/** A cluster is decompressed once, however many entries name it: that takes milliseconds. */
async function isAllThere(places: MissingPlaces, offset: number, layout: Layout): Promise<boolean> {
  const { expanded } = layout;
  const known = expanded.get(offset);
  if (known !== undefined || expanded.size >= MAX_EXPANDED) return known ?? false;
  const found = await expands(places, offset, layout);
  expanded.set(offset, found);
  return found;
}

async function expands(
  { bytes, spend }: MissingPlaces,
  offset: number,
  { clusterBytes, zstd }: Layout,
): Promise<boolean> {
  spend(2 * clusterBytes);
  const packed = await bytes.read(BigInt(offset), 2 * clusterBytes);
  try {
    const expand = zstd ? zstdDecompressSync : inflateRawSync;
    return expand(packed, { maxOutputLength: clusterBytes }).length === clusterBytes;
  } catch (error) {
    // Other data follows in the same sector.
    return error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE';
  }
}
