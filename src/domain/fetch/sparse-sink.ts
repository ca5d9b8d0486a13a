import { isZeros } from '../model/zeros.js';
import type { FileWriter } from '../ports/transfers.js';

/** Aligned zeros of this length become holes: the allocation unit of filesystems. */
const BLOCK_BYTES = 4096;
/** Bytes of one write. */
const PIECE_BYTES = 1024 * 1024;

/**
 * Writes a stream into a file that is empty from `position` on; blocks of zeros are left out. One
 * write runs while the next chunk arrives.
 */
export class SparseSink {
  #pieces: Uint8Array[] = [];
  #size = 0;
  #writing: Promise<void> = Promise.resolve();
  /** Everything before this offset has been written. */
  #written: bigint;
  #taken: bigint;
  zeroBytes = 0n;

  constructor(
    private readonly file: Pick<FileWriter, 'write' | 'endAt'>,
    position: bigint,
  ) {
    this.#written = position;
    this.#taken = position;
  }

  /** End of the data that was taken. */
  get takenBytes(): bigint {
    return this.#taken;
  }

  get writtenBytes(): bigint {
    return this.#written;
  }

  /** Returns whether enough data is buffered to be written. */
  add(piece: Uint8Array): boolean {
    this.#pieces.push(piece);
    this.#size += piece.length;
    this.#taken += BigInt(piece.length);
    return this.#size >= PIECE_BYTES;
  }

  /** Waits while the write before the last one is running. */
  async take(piece: Uint8Array): Promise<void> {
    if (this.add(piece)) await this.pass();
  }

  /** Resolves when everything has been written. */
  async flush(): Promise<void> {
    if (this.#size > 0) await this.pass();
    await this.#writing;
  }

  /** Starts to write the buffered data; waits for the previous write, not for its own. */
  async pass(): Promise<void> {
    await this.#writing;
    const data = Buffer.concat(this.#pieces, this.#size);
    this.#pieces = [];
    this.#size = 0;
    this.#writing = this.#write(data, this.#written);
    this.#writing.catch(() => undefined); // avoids unhandledRejection; awaited later
  }

  async #write(data: Buffer, position: bigint): Promise<void> {
    const end = position + BigInt(data.length);
    let [dataBytes, writtenTo] = [0, 0];
    for (const [from, to] of dataRanges(data, Number(position % BigInt(BLOCK_BYTES)))) {
      await this.file.write(data.subarray(from, to), position + BigInt(from));
      dataBytes += to - from;
      writtenTo = to;
    }
    // A later attempt sees by the length that trailing zeros have arrived too.
    if (writtenTo < data.length) await this.file.endAt(end);
    this.#written = end;
    this.zeroBytes += BigInt(data.length - dataBytes);
  }
}

/**
 * The ranges that are not whole blocks of zeros; `phase` is the offset in a block at which the data
 * begins.
 */
export function dataRanges(data: Buffer, phase: number): [number, number][] {
  const found: [number, number][] = [];
  for (let from = 0; from < data.length;) {
    const to = Math.min(data.length, from + BLOCK_BYTES - ((phase + from) % BLOCK_BYTES));
    const whole = to - from === BLOCK_BYTES;
    if (!whole || !isZeros(data, from, to)) {
      const last = found.at(-1);
      if (last !== undefined && last[1] === from) last[1] = to;
      else found.push([from, to]);
    }
    from = to;
  }
  return found;
}
