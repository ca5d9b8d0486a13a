/**
 * A qcow2 without data, byte for byte as `qemu-img create` of qemu 7.2 creates it. The source of
 * every rule is docs/interop/qcow2.txt of qemu; where that leaves a choice, the output of the tool
 * decides.
 */
import { MAX_CLUSTER_BITS, MAX_L1_ENTRIES, MIN_CLUSTER_BITS } from '../qcow2.js';
import { ClusterMap, TABLE_ENTRY_BYTES } from './cluster-map.js';
import { qcow2Header, type HeaderFields } from './qcow2-header.js';

/** Bytes at an offset of a file. */
export interface Piece {
  readonly offsetBytes: number;
  readonly bytes: Buffer;
}

/** Everything in a new file that is not zeros. */
export interface EmptyImage {
  readonly lengthBytes: bigint;
  /** In the order of the file; they do not overlap. */
  readonly pieces: readonly Piece[];
}

/** The options of a qcow2; the disk is a multiple of 512 bytes. */
export type Qcow2Choices = Omit<HeaderFields, 'l1' | 'refcountTable'>;

const [L2_ENTRY_BYTES, EXTENDED_L2_ENTRY_BYTES] = [8, 16];
/** A longer name would fit into a header, but qemu does not accept it. */
const MAX_NAME_BYTES = 1023;
/** With extended L2 tables a cluster has 32 subclusters of at least a sector. */
const MIN_EXTENDED_BYTES = 16_384;
const REFCOUNT_BITS: readonly number[] = [1, 2, 4, 8, 16, 32, 64];
/** Of version 0.10. */
const OLD_REFCOUNT_BITS = 16;
/** A shorter gap of zeros between two pieces is written with them. */
const GAP_BYTES = 4096;

/**
 * Undefined for invalid options: options that contradict each other, a large disk with small
 * clusters, whose table would be too large, a base whose name does not fit into the header.
 */
export function emptyQcow2(choices: Qcow2Choices): EmptyImage | undefined {
  const { clusterBytes, sizeBytes, refcountBits, extendedL2, backing } = choices;
  if (!arePossible(choices) || Buffer.byteLength(backing?.name ?? '') > MAX_NAME_BYTES) return undefined;
  const entries = l1Entries(sizeBytes, clusterBytes, extendedL2);
  if (entries > MAX_L1_ENTRIES) return undefined;
  const clusters = new ClusterMap(clusterBytes, refcountBits);
  const l1Bytes = entries * TABLE_ENTRY_BYTES;
  const l1At = entries === 0 ? 0 : clusters.take(Math.ceil(l1Bytes / clusterBytes)) * clusterBytes;
  const { table, blocks } = clusters;
  const header = qcow2Header({
    ...choices,
    l1: { entries, offsetBytes: l1At },
    refcountTable: { clusters: table.count, offsetBytes: table.first * clusterBytes },
  });
  if (header === undefined) return undefined;
  const written = [
    { offsetBytes: 0, bytes: header },
    { offsetBytes: table.first * clusterBytes, bytes: tableBytes(blocks, clusterBytes) },
    ...clusters.abandoned.map(({ at, blocks: old }) => ({
      offsetBytes: at.first * clusterBytes,
      bytes: tableBytes(old, clusterBytes),
    })),
    ...blocks.flatMap((block, index) =>
      block === 0
        ? []
        : [{ offsetBytes: block * clusterBytes, bytes: blockBytes(clusters.countedBy(index), refcountBits) }],
    ),
  ];
  // A block or refcount table is written whole, an L1 table up to its last entry.
  const ends = [...blocks.map((block) => block + 1), table.first + table.count].map((end) => end * clusterBytes);
  return { lengthBytes: BigInt(Math.max(l1At + l1Bytes, ...ends)), pieces: joined(written) };
}

function arePossible(choices: Qcow2Choices): boolean {
  const { compat, clusterBytes, refcountBits, lazyRefcounts, extendedL2, compressionType } = choices;
  const bits = Math.log2(clusterBytes);
  if (!Number.isInteger(bits) || bits < MIN_CLUSTER_BITS || bits > MAX_CLUSTER_BITS) return false;
  if (!REFCOUNT_BITS.includes(refcountBits) || (extendedL2 && clusterBytes < MIN_EXTENDED_BYTES)) return false;
  const newer = lazyRefcounts || extendedL2 || compressionType !== 'zlib' || refcountBits !== OLD_REFCOUNT_BITS;
  return compat === '1.1' || !newer;
}

function l1Entries(sizeBytes: bigint, clusterBytes: number, extendedL2: boolean): number {
  const mapped = BigInt(clusterBytes) * BigInt(clusterBytes / (extendedL2 ? EXTENDED_L2_ENTRY_BYTES : L2_ENTRY_BYTES));
  return Number((sizeBytes + mapped - 1n) / mapped);
}

function tableBytes(blocks: readonly number[], clusterBytes: number): Buffer {
  const bytes = Buffer.alloc(blocks.length * TABLE_ENTRY_BYTES);
  blocks.forEach((block, index) => bytes.writeBigUInt64BE(BigInt(block * clusterBytes), index * TABLE_ENTRY_BYTES));
  return bytes;
}

/** Refcounts of less than a byte begin at the lowest bit of a byte, wider ones are big-endian. */
function blockBytes(counted: Buffer, refcountBits: number): Buffer {
  const bytes = Buffer.alloc(Math.ceil((counted.length * refcountBits) / 8));
  for (const [at, isUsed] of counted.entries()) {
    if (isUsed === 0) continue;
    const bit = at * refcountBits;
    if (refcountBits < 8) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (1 << (bit & 7));
    else bytes[(bit + refcountBits) / 8 - 1] = 1;
  }
  return bytes;
}

/** Merges pieces near each other, so that they are written at once. */
function joined(pieces: readonly Piece[]): Piece[] {
  const inOrder = pieces.filter(({ bytes }) => bytes.length > 0).sort((a, b) => a.offsetBytes - b.offsetBytes);
  const groups: Piece[][] = [];
  let end = -Infinity;
  for (const piece of inOrder) {
    if (piece.offsetBytes - end < GAP_BYTES) groups.at(-1)?.push(piece);
    else groups.push([piece]);
    end = piece.offsetBytes + piece.bytes.length;
  }
  return groups.flatMap((group) => {
    const [first, last] = [group[0], group.at(-1)];
    if (first === undefined || last === undefined) return [];
    const { offsetBytes } = first;
    const bytes = Buffer.alloc(last.offsetBytes + last.bytes.length - offsetBytes);
    for (const piece of group) piece.bytes.copy(bytes, piece.offsetBytes - offsetBytes);
    return [{ offsetBytes, bytes }];
  });
}
