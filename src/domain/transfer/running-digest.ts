import { createHash, type Hash } from 'node:crypto';
import { BLOCK_ALGORITHM, StreamedBlocks } from '../model/block-digest.js';
import { inTurns } from '../model/async.js';
import type { Chunk } from '../ports/transfers.js';
import type { ChecksumAlgorithm } from '../model/checksum.js';

const ZEROS = Buffer.alloc(1024 * 1024);
const ZEROS_BYTES = BigInt(ZEROS.length);

/** The digest of streamed data, in order. */
export class RunningDigest {
  readonly #hash: Hash | StreamedBlocks;

  constructor(readonly algorithm: ChecksumAlgorithm) {
    this.#hash = algorithm === BLOCK_ALGORITHM ? new StreamedBlocks() : createHash(algorithm);
  }

  update(data: Uint8Array): void {
    this.#hash.update(data);
  }

  /** Takes as long as hashing the zeros, except for the block digest. */
  zeros(count: bigint): void {
    if (this.#hash instanceof StreamedBlocks) this.#hash.zeros(count);
    else
      for (let left = count; left > 0n; left -= ZEROS_BYTES)
        this.#hash.update(left < ZEROS_BYTES ? ZEROS.subarray(0, Number(left)) : ZEROS);
  }

  /**
   * Yields to other work: a terabyte of zeros takes ten minutes. Fails with the signal's reason.
   */
  async take(piece: Chunk, signal?: AbortSignal): Promise<void> {
    if ('data' in piece) {
      this.update(piece.data);
      return;
    }
    await inTurns(this.#steps(piece.zeros), signal);
  }

  *#steps(zeros: bigint): Generator<void, void> {
    if (this.#hash instanceof StreamedBlocks) {
      yield* this.#hash.zerosInSteps(zeros);
      return;
    }
    for (let left = zeros; left > 0n; left -= ZEROS_BYTES) {
      this.zeros(left < ZEROS_BYTES ? left : ZEROS_BYTES);
      yield;
    }
  }

  /** Call it once. */
  digest(): string {
    return this.#hash instanceof StreamedBlocks ? this.#hash.digest() : this.#hash.digest('hex');
  }
}
