import { asHostlerError } from './errors.js';
import { orAborted, untilAborted } from './async.js';

/**
 * Hands items from any number of producers to one reader, with backpressure: so many items wait for
 * a slow reader, then each producer waits. The queue and its wake-ups are the platform's own
 * stream.
 */
export class BoundedQueue<T> {
  readonly #writer: WritableStreamDefaultWriter<T>;
  readonly #readable: ReadableStream<T>;
  #error: unknown;
  #closed = false;

  /** @param capacity so many may wait for a slow reader before a producer waits too */
  constructor(capacity: number) {
    const { readable, writable } = new TransformStream<T, T>(undefined, undefined, { highWaterMark: capacity });
    this.#readable = readable;
    this.#writer = writable.getWriter();
    // avoids unhandledRejection; each `put` gets the error by itself
    this.#writer.closed.catch(() => undefined);
  }

  /**
   * Waits while it is full; when the reader has gone it does nothing. Fails with the signal's
   * reason.
   */
  async put(item: T, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#closed) return;
    // It fails when the reader goes, and then nobody misses the item.
    const taken = this.#writer.write(item).catch(() => undefined);
    await orAborted(taken, signal);
  }

  /**
   * No more items; an error is thrown to the reader after the last one. Items that still wait come
   * first.
   */
  end(error: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#error = error;
    this.#writer.close().catch(() => undefined); // the reader has gone
  }

  /**
   * The items up to the end, for one reader. Producers that wait go on when it leaves. Fails with
   * what `end` was given, and with the signal's reason.
   */
  async *items(signal: AbortSignal): AsyncGenerator<T, void> {
    const reader = this.#readable.getReader();
    try {
      yield* untilAborted(itemsOf(reader), signal);
      if (this.#error !== undefined) throw asHostlerError(this.#error);
    } finally {
      this.#closed = true;
      // Fails every `put` that waits, and ends a read that was left.
      await reader.cancel();
    }
  }
}

async function* itemsOf<T>(reader: ReadableStreamDefaultReader<T>): AsyncGenerator<T, void> {
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}
