import { asHostlerError } from '../domain/errors.js';
import { deferred, type Deferred } from '../domain/waiting.js';

/** Lines that may wait for a slow reader before the writer waits too. */
const CAPACITY = 4096;

/** Hands lines from a callback to a `for await`, with backpressure. */
export class LineQueue implements AsyncIterable<string> {
  #lines: string[] = [];
  #ended = false;
  #abandoned = false;
  #error: unknown;
  #filled: Deferred<void> = deferred();
  #drained: Deferred<void> = deferred();

  /** Waits while the queue is full. */
  async put(line: string): Promise<void> {
    if (this.#abandoned) return;
    this.#lines.push(line);
    this.#filled.resolve();
    if (this.#lines.length < CAPACITY) return;
    this.#drained = deferred();
    await this.#drained.promise;
  }

  /** No more lines; an error is thrown to the reader after the last one. */
  end(error: unknown): void {
    this.#ended = true;
    this.#error = error;
    this.#filled.resolve();
  }

  /** The reader has gone: whoever waits in `put` goes on. */
  abandon(): void {
    this.#abandoned = true;
    this.#lines = [];
    this.#drained.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string, void> {
    for (;;) {
      await this.#filled.promise;
      this.#filled = deferred();
      const lines = this.#lines;
      this.#lines = [];
      if (this.#ended) this.#filled.resolve();
      this.#drained.resolve();
      yield* lines;
      if (lines.length > 0 || !this.#ended) continue;
      if (this.#error !== undefined) throw asHostlerError(this.#error);
      return;
    }
  }
}
