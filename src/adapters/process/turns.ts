import { deferred, orAborted } from '../../domain/model/async.js';

/**
 * Runs pieces of work one after the other, each in its own turn of the event loop, so that other
 * events are handled in between.
 */
export class Turns {
  #last: Promise<void> = Promise.resolve();

  /**
   * The value of the work, or its failure; the signal's reason if it is aborted before the work's
   * turn.
   */
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
