import type { FileWriter } from '../ports/transfers.js';

/**
 * So many pieces wait to be written while the next ones come: of 256 KiB each, they are the window
 * of a connection.
 */
const DEPTH = 4;

/**
 * Writes pieces that follow each other, and says how far the file is written without a gap. One at
 * a time: the kernel lets only one write into a file, and the others would spin on their cores
 * until it is their turn.
 */
export class WriteBehind {
  readonly #pending: Promise<void>[] = [];
  #last: Promise<void> = Promise.resolve();

  /** @param onWritten everything before the offset has been written */
  constructor(
    private readonly file: Pick<FileWriter, 'write'>,
    private readonly onWritten: (end: bigint) => void,
  ) {}

  /** Waits while too many are pending. Throws what an earlier one failed with. */
  async write(data: Uint8Array, position: bigint): Promise<void> {
    this.#last = this.#after(this.#last, data, position);
    this.#last.catch(() => undefined); // avoids unhandledRejection; awaited later
    this.#pending.push(this.#last);
    if (this.#pending.length >= DEPTH) await this.#pending.shift();
  }

  /** Resolved when everything has been written. */
  async drain(): Promise<void> {
    this.#pending.length = 0;
    await this.#last;
  }

  /** Resolved when nothing is written any more; what follows a failure is not. */
  async untilIdle(): Promise<void> {
    await this.#last.catch(() => undefined); // the writer has had the error, or writes no more
  }

  async #after(before: Promise<void>, data: Uint8Array, position: bigint): Promise<void> {
    await before;
    await this.file.write(data, position);
    this.onWritten(position + BigInt(data.length));
  }
}
