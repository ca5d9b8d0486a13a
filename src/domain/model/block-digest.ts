import { createHash, type Hash } from 'node:crypto';

/**
 * Name of this digest in answers: sha256 over the sha256 of each block; the last block has its
 * actual length.
 */
export const BLOCK_ALGORITHM = 'sha256-4m-blocks';
export const BLOCK_BYTES = 4 * 1024 * 1024;
const DIGEST_BYTES = 32;
/**
 * Longer files have no digest: hashing the holes of a file of this length takes a minute. Only XFS,
 * btrfs and tmpfs allow longer files.
 */
export const MAX_DIGEST_BYTES = 1n << 53n;
/**
 * Digests of zero blocks are hashed in batches of this many, in less than a millisecond: their 512
 * KiB stand for 64 GiB of hole.
 */
const ZERO_DIGESTS = 16_384;

/** SHA-256, 32 bytes. */
export function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

/** Computed once: the digests of blocks of zeros. */
let zeroDigests: Buffer | undefined;
function manyZeroDigests(): Buffer {
  zeroDigests ??= Buffer.alloc(ZERO_DIGESTS * DIGEST_BYTES, sha256(Buffer.alloc(BLOCK_BYTES)));
  return zeroDigests;
}

/** Combines the digests of blocks, in order. */
export class BlockDigests {
  readonly #hash = createHash('sha256');

  /** Digests of one or more blocks, concatenated. */
  append(digests: Uint8Array): void {
    this.#hash.update(digests);
  }

  /**
   * Appends this many whole blocks of zeros, in steps of a millisecond at most, so that other work
   * gets a turn in between.
   */
  *appendZeros(blocks: number): Generator<void, void> {
    const many = manyZeroDigests();
    for (let left = blocks; left > 0; left -= ZERO_DIGESTS) {
      this.#hash.update(many.subarray(0, Math.min(left, ZERO_DIGESTS) * DIGEST_BYTES));
      yield;
    }
  }

  digest(): string {
    return this.#hash.digest('hex');
  }
}

/** The same digest of streamed bytes, in order; runs of zeros cost next to nothing. */
export class StreamedBlocks {
  readonly #blocks = new BlockDigests();
  #open: { readonly hash: Hash; filled: number } | undefined;

  update(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      const open = (this.#open ??= { hash: createHash('sha256'), filled: 0 });
      const piece = bytes.subarray(done, done + BLOCK_BYTES - open.filled);
      open.hash.update(piece);
      open.filled += piece.length;
      done += piece.length;
      if (open.filled === BLOCK_BYTES) this.#close();
    }
  }

  /** For worker threads, because it does not yield. */
  zeros(count: bigint): void {
    const steps = this.zerosInSteps(count);
    while (steps.next().done !== true);
  }

  /** The same in steps, as `BlockDigests.appendZeros`. */
  *zerosInSteps(count: bigint): Generator<void, void> {
    const missing = BigInt(BLOCK_BYTES - (this.#open?.filled ?? 0));
    if (this.#open !== undefined && count >= missing) {
      this.update(Buffer.alloc(Number(missing)));
      yield;
      yield* this.zerosInSteps(count - missing);
      return;
    }
    const whole = this.#open === undefined ? count / BigInt(BLOCK_BYTES) : 0n;
    yield* this.#blocks.appendZeros(Number(whole));
    this.update(Buffer.alloc(Number(count - whole * BigInt(BLOCK_BYTES))));
  }

  digest(): string {
    if (this.#open !== undefined) this.#close();
    return this.#blocks.digest();
  }

  #close(): void {
    if (this.#open !== undefined) this.#blocks.append(this.#open.hash.digest());
    this.#open = undefined;
  }
}

/** Blocks that have to be hashed, or that are known to be zeros. */
export interface BlockRange {
  readonly first: number;
  readonly count: number;
  readonly zero: boolean;
}

/** An extent of a file; an extent that is not data reads as zeros. */
export interface DataExtent {
  readonly offsetBytes: bigint;
  readonly lengthBytes: bigint;
  readonly data: boolean;
}

/**
 * The blocks of a file of this length, in order, from its extents. A block is zeros if no data
 * touches it; a partial last block is always hashed.
 */
export async function* blockRanges(
  extents: AsyncIterable<DataExtent> | Iterable<DataExtent>,
  lengthBytes: bigint,
): AsyncGenerator<BlockRange> {
  const size = BigInt(BLOCK_BYTES);
  const whole = Number(lengthBytes / size);
  const all = Number((lengthBytes + size - 1n) / size);
  let next = 0;
  for await (const { offsetBytes, lengthBytes: length, data } of extents) {
    if (!data || length === 0n) continue;
    const first = Math.max(next, Number(offsetBytes / size));
    const end = Math.min(all, Number((offsetBytes + length + size - 1n) / size));
    if (first >= end) continue;
    if (first > next) yield { first: next, count: first - next, zero: true };
    yield { first, count: end - first, zero: false };
    next = end;
  }
  if (next < whole) yield { first: next, count: whole - next, zero: true };
  if (next < all && whole < all) yield { first: whole, count: 1, zero: false };
}
