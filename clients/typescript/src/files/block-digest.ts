/** `sha256-4m-blocks`: the sha256 over the sha256 of each block of 4 MiB. */
import { createHash, type Hash } from 'node:crypto';

/** The name of the digest in messages. */
export const BLOCK_ALGORITHM = 'sha256-4m-blocks';
export const BLOCK_BYTES = 4 * 1024 * 1024;

const ZEROS = Buffer.alloc(BLOCK_BYTES);
let zeroDigest: Buffer | undefined;

/** The digest of bytes as they come by, in order. */
export class BlockDigest {
  readonly #blocks: Buffer[] = [];
  #block: Hash = createHash('sha256');
  #filled = 0;

  /** How many bytes at the beginning need not come by again: those of whole blocks. */
  get knownBytes(): number {
    return this.#blocks.length * BLOCK_BYTES;
  }

  /** Begins again after the whole blocks. */
  rewind(): void {
    this.#block = createHash('sha256');
    this.#filled = 0;
  }

  /** The next bytes. */
  update(data: Uint8Array): void {
    for (let at = 0; at < data.length;) {
      const piece = data.subarray(at, at + BLOCK_BYTES - this.#filled);
      this.#block.update(piece);
      this.#filled += piece.length;
      at += piece.length;
      if (this.#filled === BLOCK_BYTES) this.#close();
    }
  }

  /** The next bytes are so many zeros: whole blocks of them cost nothing. */
  skip(count: number): void {
    for (let left = count; left > 0;) {
      const piece = Math.min(left, BLOCK_BYTES - this.#filled);
      if (piece === BLOCK_BYTES) this.#blocks.push((zeroDigest ??= createHash('sha256').update(ZEROS).digest()));
      else this.update(ZEROS.subarray(0, piece));
      left -= piece;
    }
  }

  /** Of all bytes, hexadecimal. */
  digest(): string {
    const all = createHash('sha256');
    for (const block of this.#blocks) all.update(block);
    if (this.#filled > 0) all.update(this.#block.copy().digest());
    return all.digest('hex');
  }

  #close(): void {
    this.#blocks.push(this.#block.digest());
    this.rewind();
  }
}
