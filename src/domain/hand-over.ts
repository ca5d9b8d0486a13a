import { asHostlerError } from './errors.js';
import { deferred, type Deferred } from './waiting.js';

/** Hands items from a callback to a `for await`, with backpressure. */
export class HandOver<T> implements AsyncIterable<T> {
  #items: T[] = [];
  #ended = false;
  #abandoned = false;
  #error: unknown;
  #filled: Deferred<void> = deferred();
  #drained: Deferred<void> = deferred();

  /** @param capacity so many may wait for a slow reader before the writer waits too */
  constructor(private readonly capacity: number) {}

  /** Waits while it is full. */
  async put(item: T): Promise<void> {
    if (this.#abandoned) return;
    this.#items.push(item);
    this.#filled.resolve();
    if (this.#items.length < this.capacity) return;
    this.#drained = deferred();
    await this.#drained.promise;
  }

  /** No more items; an error is thrown to the reader after the last one. */
  end(error: unknown): void {
    this.#ended = true;
    this.#error = error;
    this.#filled.resolve();
  }

  /** The reader has gone: whoever waits in `put` goes on. */
  abandon(): void {
    this.#abandoned = true;
    this.#items = [];
    this.#drained.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    for (;;) {
      await this.#filled.promise;
      this.#filled = deferred();
      const items = this.#items;
      this.#items = [];
      if (this.#ended) this.#filled.resolve();
      this.#drained.resolve();
      yield* items;
      if (items.length > 0 || !this.#ended) continue;
      if (this.#error !== undefined) throw asHostlerError(this.#error);
      return;
    }
  }
}
