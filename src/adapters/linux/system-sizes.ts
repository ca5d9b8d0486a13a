/**
 * Sizes from stat and statfs. They are checked only here, so that none is negative or too large to
 * send.
 */
import type { BigIntStats, BigIntStatsFs } from 'node:fs';
import type { FilesystemCounts } from '../../domain/host/filesystem-info.js';
import { uint64 } from '../../domain/model/numbers.js';

/** The unit of st_blocks, whatever the block size of the filesystem. */
const BLOCK_BYTES = 512n;

/** A FUSE filesystem may report any number. */
export function sizesOf({ size, blocks }: Pick<BigIntStats, 'size' | 'blocks'>): {
  readonly lengthBytes: bigint;
  readonly allocatedBytes: bigint;
} {
  return { lengthBytes: uint64(size), allocatedBytes: uint64(blocks * BLOCK_BYTES) };
}

/**
 * Blocks are counted in units of f_frsize; f_bsize is only the preferred I/O size, and may be 256
 * times as large.
 */
export function countsOf(stats: BigIntStatsFs): FilesystemCounts {
  const { bsize, frsize, blocks, bfree, bavail, files, ffree } = stats;
  return {
    fragmentBytes: uint64(frsize > 0n ? frsize : bsize),
    blocks: uint64(blocks),
    freeBlocks: uint64(bfree),
    availableBlocks: uint64(bavail),
    inodes: uint64(files),
    freeInodes: uint64(ffree),
  };
}

/** Filesystems without a birth time report 0. */
export function birthOf({ birthtimeNs }: BigIntStats): { readonly birthTimeNs?: bigint } {
  return birthtimeNs === 0n ? {} : { birthTimeNs: birthtimeNs };
}
