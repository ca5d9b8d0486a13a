import { deferred, orAborted } from '../../domain/model/async.js';

/**
 * Pieces of work one after the other, each from a turn of the event loop of its own: what comes in
 * meanwhile is heard in between.
 */
export class Turns {
  #last: Promise<void> = Promise.resolve();

  /** The value of the work, or its failure; the signal's reason when that comes before its turn. */
  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const before = this.#last;
    const over = deferred();
    this.#last = before.then(() => over.promise);
    try {
      await orAborted(before, signal);
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
      signal.throwIfAborted();
      return await work();
    } finally {
      over.resolve();
    }
  }
}
