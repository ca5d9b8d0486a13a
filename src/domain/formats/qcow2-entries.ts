/**
 * Entries of the tables of a qcow2. The source of every rule is docs/interop/qcow2.txt of qemu.
 */
const SECTOR = 512;
const TWO_32 = 2 ** 32;
/** Bits in the upper halves of entries. */
const [OFFSET_HIGH, COMPRESSED] = [0x00ffffff, 0x40000000];
const ZERO = 1;

/** Bits of incompatible features, in the lower half of their field. */
export const [COMPRESSION_TYPE, EXTENDED_L2] = [8, 16];
/** The type of compression that is not zlib. */
export const ZSTD = 1;
/** Parts of a cluster in an image with extended L2 entries. */
export const SUBCLUSTERS = 32;

/** Where a table or cluster begins, and 0 if there is none. */
export function hostOffset(table: Buffer, at: number): number {
  const low = table.readUInt32BE(at + 4);
  return (table.readUInt32BE(at) & OFFSET_HIGH) * TWO_32 + low - (low % SECTOR);
}

/** Whether the entry is that of a compressed cluster, which `compressedPlace` reads. */
export function isCompressed(table: Buffer, at: number): boolean {
  return (table.readUInt32BE(at) & COMPRESSED) !== 0;
}

/** Whether the entry, one without subclusters, says that its cluster is all zeros. */
export function isZero(table: Buffer, at: number): boolean {
  return (table.readUInt32BE(at + 4) & ZERO) !== 0;
}

/** Bytes of a compressed cluster: its offset may be any, its length is known in sectors. */
export function compressedPlace(table: Buffer, at: number, clusterBits: number): { from: number; to: number } {
  const high = table.readUInt32BE(at);
  const shift = 62 - (clusterBits - 8) - 32;
  const from = (high & (2 ** shift - 1)) * TWO_32 + table.readUInt32BE(at + 4);
  const sectors = ((high >>> shift) & (2 ** (clusterBits - 8) - 1)) + 1;
  return { from, to: from - (from % SECTOR) + sectors * SECTOR };
}

/** A number of 64 bits; above 2^53 it is not exact. */
export function numberAt(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at) * TWO_32 + bytes.readUInt32BE(at + 4);
}
