import { sleepOrAborted } from '../model/async.js';

/** Maximum bytes a second; undefined: no limit. It may change while bytes move. */
export type Rate = () => bigint | undefined;

/** How much unused time may be caught up. */
const CATCH_UP_MS = 100;
/** A changed rate takes effect after this time at the latest. */
const LOOK_MS = 500;

/** Limits a stream to a rate. */
export class Pace {
  #bytes = 0;
  /** When the bytes so far may have moved, by the clock of this process. */
  #dueMs = 0;

  constructor(private readonly rate: Rate) {}

  /**
   * Waits until this many bytes, counted from the beginning, may have moved. Fails with the
   * signal's reason.
   */
  async reach(bytes: number, signal: AbortSignal): Promise<void> {
    let more = bytes - this.#bytes;
    this.#bytes = bytes;
    for (let rate = this.rate(); rate !== undefined && more > 0; rate = this.rate()) {
      const now = performance.now();
      this.#dueMs = Math.max(this.#dueMs, now - CATCH_UP_MS);
      const part = Math.min(more, Math.max(1, (Number(rate) * LOOK_MS) / 1000));
      this.#dueMs += (part * 1000) / Number(rate);
      more -= part;
      if (this.#dueMs > now) await sleepOrAborted(this.#dueMs - now, signal);
    }
  }
}

/** The chunks at a rate; without one as they arrive. */
export async function* paced<T>(
  pieces: AsyncIterable<T>,
  bytesOf: (piece: T) => number,
  bytesPerSecond: bigint | undefined,
  signal: AbortSignal,
): AsyncGenerator<T, void> {
  const pace = new Pace(() => bytesPerSecond);
  let bytes = 0;
  for await (const piece of pieces) {
    bytes += bytesOf(piece);
    await pace.reach(bytes, signal);
    yield piece;
  }
}
