/**
 * Where a qcow2 has the data of the guest's disk. The source of every rule is
 * docs/interop/qcow2.txt of qemu.
 */
import { MAX_CLUSTER_BITS, MIN_CLUSTER_BITS } from './qcow2.js';
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
} from './qcow2-entries.js';

/** Bytes of the head that `qcow2Layout` needs. */
export const HEAD_BYTES = 112;
const MAGIC = 0x514649fb;
const SECTOR = 512;
/** Headers are at least that long if they name a type of compression. */
const COMPRESSION_OFFSET = 104;
/** 512 KiB of L1 table: disks of 32 TiB with the usual clusters. */
const MAX_L1_ENTRIES = 1 << 16;

export interface Qcow2Layout {
  readonly virtualBytes: number;
  readonly clusterBits: number;
  readonly clusterBytes: number;
  readonly l1Offset: number;
  readonly l1Entries: number;
  /** Whether an entry has a second half with bitmaps of the subclusters. */
  readonly extended: boolean;
  /** Whether an entry may say that its cluster is all zeros. */
  readonly zeros: boolean;
  readonly zstd: boolean;
}

/** Data of the guest's disk, and where the file has it. */
export interface DataPiece {
  readonly from: number;
  /** Exclusive; of compressed data it is the end of its last sector. */
  readonly to: number;
  /** Offset on the guest's disk. */
  readonly guest: number;
  readonly compressed: boolean;
}

/**
 * The layout of an image that is complete by itself: without a base, a data file or encryption.
 * Undefined for all others, for features that are not known here, and for what is no qcow2.
 */
export function qcow2Layout(head: Buffer): Qcow2Layout | undefined {
  if (head.length < HEAD_BYTES || head.readUInt32BE(0) !== MAGIC) return undefined;
  const version = head.readUInt32BE(4);
  const clusterBits = head.readUInt32BE(20);
  if (version < 2 || version > 3 || clusterBits < MIN_CLUSTER_BITS || clusterBits > MAX_CLUSTER_BITS) return undefined;
  const [base, encryption] = [numberAt(head, 8), head.readUInt32BE(32)];
  const [featuresHigh, features] = version === 3 ? [head.readUInt32BE(72), head.readUInt32BE(76)] : [0, 0];
  const isUnknown = featuresHigh !== 0 || (features & ~(COMPRESSION_TYPE | EXTENDED_L2)) !== 0;
  if (base !== 0 || encryption !== 0 || isUnknown) return undefined;
  const hasType = version === 3 && head.readUInt32BE(100) > COMPRESSION_OFFSET;
  const type = hasType ? head.readUInt8(COMPRESSION_OFFSET) : 0;
  if (type > ZSTD || (type !== 0) !== ((features & COMPRESSION_TYPE) !== 0)) return undefined;
  const l1Entries = head.readUInt32BE(36);
  if (l1Entries > MAX_L1_ENTRIES) return undefined;
  const virtualBytes = numberAt(head, 24);
  // Offsets are numbers here.
  if (!Number.isSafeInteger(virtualBytes)) return undefined;
  return {
    // qemu counts whole sectors.
    virtualBytes: virtualBytes - (virtualBytes % SECTOR),
    clusterBits,
    clusterBytes: 2 ** clusterBits,
    l1Offset: numberAt(head, 40),
    l1Entries,
    extended: (features & EXTENDED_L2) !== 0,
    zeros: version === 3,
    zstd: type === ZSTD,
  };
}

/** A part of the guest's disk, and where its table is in the file. */
export interface L2Place {
  readonly offset: number;
  readonly guest: number;
}

/** The tables that the L1 table names. Undefined if qemu would call it corrupt. */
export function l2Places(table: Buffer, layout: Qcow2Layout): L2Place[] | undefined {
  const span = (layout.clusterBytes / (layout.extended ? 16 : 8)) * layout.clusterBytes;
  const places: L2Place[] = [];
  for (let n = 0; n < layout.l1Entries; n++) {
    const offset = hostOffset(table, n * 8);
    if (offset % layout.clusterBytes !== 0) return undefined;
    if (offset !== 0 && n * span < layout.virtualBytes) places.push({ offset, guest: n * span });
  }
  return places;
}

/**
 * The data that an L2 table names, in the order of the guest's disk; data that follows in the file
 * and on the disk is one piece. Undefined if qemu would call the table corrupt.
 */
export function piecesOf(table: Buffer, { guest }: L2Place, layout: Qcow2Layout): DataPiece[] | undefined {
  const { clusterBytes, extended, virtualBytes } = layout;
  const entryBytes = extended ? 16 : 8;
  const pieces: DataPiece[] = [];
  for (let n = 0; n * entryBytes < table.length && guest + n * clusterBytes < virtualBytes; n++) {
    const found = inCluster(table, n * entryBytes, guest + n * clusterBytes, layout);
    if (found === undefined) return undefined;
    for (const piece of found) append(pieces, piece);
  }
  return pieces;
}

function append(pieces: DataPiece[], piece: DataPiece): void {
  const last = pieces.at(-1);
  const goesOn =
    last?.to === piece.from &&
    last.guest + (last.to - last.from) === piece.guest &&
    !last.compressed &&
    !piece.compressed;
  if (goesOn) pieces[pieces.length - 1] = { ...last, to: piece.to };
  else pieces.push(piece);
}

function inCluster(table: Buffer, at: number, guest: number, layout: Qcow2Layout): DataPiece[] | undefined {
  const { clusterBytes, extended, zeros } = layout;
  if (isCompressed(table, at)) return [{ ...compressedPlace(table, at, layout.clusterBits), guest, compressed: true }];
  const from = hostOffset(table, at);
  if (from % clusterBytes !== 0) return undefined;
  if (extended) return subclusters(table, at, from, guest, layout);
  if (isZero(table, at)) return zeros ? [] : undefined;
  return from === 0 ? [] : [{ from, to: from + clusterBytes, guest, compressed: false }];
}

function subclusters(
  table: Buffer,
  at: number,
  from: number,
  guest: number,
  { clusterBytes }: Qcow2Layout,
): DataPiece[] | undefined {
  const [zeros, allocated] = [table.readUInt32BE(at + 8), table.readUInt32BE(at + 12)];
  if ((zeros & allocated) !== 0 || (allocated !== 0 && from === 0)) return undefined;
  const bytes = clusterBytes / SUBCLUSTERS;
  const pieces: DataPiece[] = [];
  for (let n = 0; n < SUBCLUSTERS; n++) {
    if (((allocated >>> n) & 1) === 0) continue;
    append(pieces, {
      from: from + n * bytes,
      to: from + (n + 1) * bytes,
      guest: guest + n * bytes,
      compressed: false,
    });
  }
  return pieces;
}
