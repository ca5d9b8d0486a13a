import { HostlerError } from '../model/errors.js';

const RETRY_MS = 1000;

/** Limits the tools of calls that only read: those are not operations and wait in no queue. */
export class ReadCallLimit {
  #working = 0;
  readonly #ofCaller = new Map<string, number>();

  /** @param callersShare the part that one caller may have */
  constructor(
    private readonly limit: number,
    private readonly callersShare: number,
  ) {}

  /** Returns a function to call at the end. Fails with TOO_MANY_OPERATIONS, CALLER_AT_LIMIT. */
  enter(caller: string): () => void {
    const own = this.#ofCaller.get(caller) ?? 0;
    if (own >= this.callersShare) {
      const most = String(this.callersShare);
      throw new HostlerError('CALLER_AT_LIMIT', `${caller} has ${most} calls that read images at work already`, {
        facts: { caller, calls: most },
        retryAfterMs: RETRY_MS,
      });
    }
    if (this.#working >= this.limit) {
      throw new HostlerError(
        'TOO_MANY_OPERATIONS',
        `${String(this.limit)} calls that read images are at work already`,
        { retryAfterMs: RETRY_MS },
      );
    }
    this.#working += 1;
    this.#ofCaller.set(caller, own + 1);
    return () => {
      this.#working -= 1;
      const rest = (this.#ofCaller.get(caller) ?? 1) - 1;
      if (rest === 0) this.#ofCaller.delete(caller);
      else this.#ofCaller.set(caller, rest);
    };
  }
}
