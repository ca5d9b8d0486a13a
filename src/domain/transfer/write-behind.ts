import type { FileWriter } from '../ports/transfers.js';

/**
 * Chunks that may wait to be written while the next ones arrive: of 256 KiB each, they are the
 * window of a connection.
 */
const DEPTH = 4;

/**
 * Writes consecutive chunks, and reports up to which offset the file is written without a gap. One
 * write at a time: the kernel allows only one writer in a file, and others would spin on their
 * cores.
 */
export class WriteBehind {
  readonly #pending: Promise<void>[] = [];
  #last: Promise<void> = Promise.resolve();

  /** @param onWritten everything before the offset has been written */
  constructor(
    private readonly file: Pick<FileWriter, 'write'>,
    private readonly onWritten: (end: bigint) => void,
  ) {}

  /** Waits while too many are pending. Throws the error of an earlier write. */
  async write(data: Uint8Array, position: bigint): Promise<void> {
    this.#last = this.#after(this.#last, data, position);
    this.#last.catch(() => undefined); // avoids unhandledRejection; awaited later
    this.#pending.push(this.#last);
    if (this.#pending.length >= DEPTH) await this.#pending.shift();
  }

  /** Resolves when everything has been written. */
  async drain(): Promise<void> {
    this.#pending.length = 0;
    await this.#last;
  }

  /** Resolves when no write is running; writes after a failure are dropped. */
  async untilIdle(): Promise<void> {
    await this.#last.catch(() => undefined); // the writer has got the error, or writes no more
  }

  async #after(before: Promise<void>, data: Uint8Array, position: bigint): Promise<void> {
    await before;
    await this.file.write(data, position);
    this.onWritten(position + BigInt(data.length));
  }
}
