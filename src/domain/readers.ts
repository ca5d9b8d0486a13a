import { HostlerError } from './errors.js';

const RETRY_MS = 1000;

/** Bounds the tools that work for calls which only look: those are no operations and wait in no queue. */
export class Readers {
  #working = 0;

  constructor(private readonly limit: number) {}

  /** Returns the leave. Fails with TOO_MANY_OPERATIONS. */
  enter(): () => void {
    if (this.#working >= this.limit) {
      throw new HostlerError(
        'TOO_MANY_OPERATIONS',
        `${String(this.limit)} calls that read images are at work already`,
        { retryAfterMs: RETRY_MS },
      );
    }
    this.#working += 1;
    return () => {
      this.#working -= 1;
    };
  }
}
