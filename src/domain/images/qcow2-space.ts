/** Space that a qcow2 occupies. The source of every rule is docs/interop/qcow2.txt of qemu. */
import { roundUp } from '../model/size.js';

/** qemu's default. */
export const DEFAULT_CLUSTER_BYTES = 65_536n;
const ENTRY_BYTES = 8n;
/** The allocation unit of filesystems. */
const BLOCK_BYTES = 4096n;
/**
 * Refcounts of 64 bits are the widest; a refcount block then covers as many clusters as an L2 table
 * has entries.
 */
const WIDEST_REFCOUNT_BYTES = 8n;

/**
 * The maximum size of the tables of a disk of this size with this much data, wherever on the disk
 * it lies.
 */
export function qcow2Tables(
  sizeBytes: bigint,
  dataBytes: bigint,
  clusterBytes = DEFAULT_CLUSTER_BYTES,
  extendedL2 = false,
): bigint {
  const entryBytes = extendedL2 ? 2n * ENTRY_BYTES : ENTRY_BYTES;
  const units = (bytes: bigint, unit: bigint) => (bytes + unit - 1n) / unit;
  const [clusters, mostTables] = [
    units(dataBytes, clusterBytes),
    units(sizeBytes, (clusterBytes / entryBytes) * clusterBytes),
  ];
  // Tables exist only for data: at most one for each cluster of it.
  const tables = clusters < mostTables ? clusters : mostTables;
  const l1Bytes = roundUp(mostTables * ENTRY_BYTES, clusterBytes);
  const counted = 1n + clusters + tables + l1Bytes / clusterBytes;
  const blocks = units(counted, clusterBytes / WIDEST_REFCOUNT_BYTES) + 1n;
  const refcountTable = roundUp(blocks * ENTRY_BYTES, clusterBytes);
  const pieceBytes = clusterBytes < BLOCK_BYTES ? BLOCK_BYTES : clusterBytes;
  // A refcount table that was moved to grow leaves a gap at its old place.
  return (1n + tables + blocks) * pieceBytes + roundUp(l1Bytes, pieceBytes) + 2n * roundUp(refcountTable, pieceBytes);
}
