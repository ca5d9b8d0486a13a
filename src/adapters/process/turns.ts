/**
 * One after the other, each in a turn of the event loop of its own: what comes in meanwhile is
 * heard in between.
 */
export class Turns {
  #last: Promise<void> = Promise.resolve();

  /**
   * Resolved when it is the caller's turn, which lasts until it waits for something. Never rejects.
   */
  next(): Promise<void> {
    this.#last = this.#last.then(
      () =>
        new Promise((resolve) => {
          setImmediate(resolve);
        }),
    );
    return this.#last;
  }
}
