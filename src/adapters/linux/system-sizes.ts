/**
 * Sizes as stat and statfs give them: the one place where they become ours, so that none is
 * negative or more than can be sent.
 */
import type { BigIntStats, BigIntStatsFs } from 'node:fs';
import type { FilesystemCounts } from '../../domain/host/filesystem-info.js';
import { uint64 } from '../../domain/model/numbers.js';

/** What st_blocks counts in, whatever the filesystem's own blocks are. */
const BLOCK_BYTES = 512n;

/** A filesystem in user space may say anything. */
export function sizesOf({ size, blocks }: Pick<BigIntStats, 'size' | 'blocks'>): {
  readonly lengthBytes: bigint;
  readonly allocatedBytes: bigint;
} {
  return { lengthBytes: uint64(size), allocatedBytes: uint64(blocks * BLOCK_BYTES) };
}

/**
 * Blocks are counted in f_frsize; f_bsize is only what suits reading and writing, and may be 256
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

/** Filesystems that keep no time of birth say 0. */
export function birthOf({ birthtimeNs }: BigIntStats): { readonly birthTimeNs?: bigint } {
  return birthtimeNs === 0n ? {} : { birthTimeNs: birthtimeNs };
}
