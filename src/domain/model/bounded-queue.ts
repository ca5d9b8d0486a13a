import { asHostlerError } from './errors.js';
import { orAborted, untilAborted } from './async.js';

/**
 * Passes items from any number of producers to one reader, with backpressure: a number of items may
 * wait for a slow reader, then each producer waits. The queue and its wake-ups are the platform's
 * own stream.
 */
export class BoundedQueue<T> {
  readonly #writer: WritableStreamDefaultWriter<T>;
  readonly #readable: ReadableStream<T>;
  #error: unknown;
  #closed = false;

  /** @param capacity number of items that may wait before a producer has to wait */
  constructor(capacity: number) {
    const { readable, writable } = new TransformStream<T, T>(undefined, undefined, { highWaterMark: capacity });
    this.#readable = readable;
    this.#writer = writable.getWriter();
    // avoids unhandledRejection; each `put` gets the error itself
    this.#writer.closed.catch(() => undefined);
  }

  /**
   * Waits while the queue is full; does nothing when the reader has gone. Fails with the signal's
   * reason.
   */
  async put(item: T, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#closed) return;
    // It fails when the reader has gone, and then the item is not needed.
    const taken = this.#writer.write(item).catch(() => undefined);
    await orAborted(taken, signal);
  }

  /** Ends the queue; an error is thrown to the reader after the items that still wait. */
  end(error: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#error = error;
    this.#writer.close().catch(() => undefined); // the reader has gone
  }

  /**
   * The items up to the end, for one reader. Producers that wait continue when the reader leaves.
   * Fails with the error that `end` was given, and with the signal's reason.
   */
  async *items(signal: AbortSignal): AsyncGenerator<T, void> {
    const reader = this.#readable.getReader();
    try {
      yield* untilAborted(itemsOf(reader), signal);
      if (this.#error !== undefined) throw asHostlerError(this.#error);
    } finally {
      this.#closed = true;
      // Fails every waiting `put`, and ends an abandoned read.
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
