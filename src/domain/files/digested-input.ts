import { createHash, type Hash } from 'node:crypto';

/** A new SHA-256 for `update` and `digest`. */
export function sha256Of(): Hash {
  return createHash('sha256');
}

/** A stream of data whose digest is known at its end. */
export class DigestedInput {
  readonly #hash = sha256Of();
  readonly #rest: AsyncIterator<Uint8Array>;

  constructor(data: AsyncIterable<Uint8Array>) {
    this.#rest = data[Symbol.asyncIterator]();
  }

  /** May be left before the end. */
  async *pieces(): AsyncGenerator<Uint8Array, void> {
    for (;;) {
      const next = await this.#rest.next();
      if (next.done === true) return;
      this.#hash.update(next.value);
      yield next.value;
    }
  }

  /** Reads the rest; returns the digest of everything. */
  async digest(): Promise<string> {
    const rest = this.pieces();
    while ((await rest.next()).done !== true);
    return this.#hash.digest('hex');
  }
}
