import { createHash, type Hash } from 'node:crypto';
import { setImmediate as breathe } from 'node:timers/promises';
import { BLOCK_ALGORITHM, StreamedBlocks } from '../block-digest.js';
import type { Piece } from './ports.js';

/** What a checksum may be named. Only the block digest takes long runs of zeros for nothing. */
export const CHECKSUM_ALGORITHMS = [BLOCK_ALGORITHM, 'sha256', 'sha512', 'md5', 'blake2b512'] as const;
export type ChecksumAlgorithm = (typeof CHECKSUM_ALGORITHMS)[number];

const ZEROS = Buffer.alloc(1024 * 1024);

/** The digest of what goes by, in order. */
export class RunningDigest {
  readonly #hash: Hash | StreamedBlocks;

  constructor(readonly algorithm: ChecksumAlgorithm) {
    this.#hash = algorithm === BLOCK_ALGORITHM ? new StreamedBlocks() : createHash(algorithm);
  }

  update(data: Uint8Array): void {
    this.#hash.update(data);
  }

  async take(piece: Piece): Promise<void> {
    if ('data' in piece) {
      this.update(piece.data);
    } else if (this.#hash instanceof StreamedBlocks) {
      this.#hash.zeros(piece.zeros);
    } else {
      for (let left = piece.zeros; left > 0n; left -= BigInt(ZEROS.length)) {
        this.#hash.update(left < BigInt(ZEROS.length) ? ZEROS.subarray(0, Number(left)) : ZEROS);
        // Others want to work too: a terabyte takes ten minutes.
        await breathe();
      }
    }
  }

  /** To be asked once. */
  digest(): string {
    return this.#hash instanceof StreamedBlocks ? this.#hash.digest() : this.#hash.digest('hex');
  }
}
