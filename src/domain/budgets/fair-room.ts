import { asHostlerError } from '../model/errors.js';

export interface RoomLimits {
  /** Amount that all callers together may hold. */
  readonly inAll: number;
  /** Amount that one caller may hold. */
  readonly perCaller: number;
  /**
   * Whether a caller that holds nothing may exceed both limits with one request: then only its own
   * work can make it wait.
   */
  readonly oneBeyond: boolean;
}

/** For work that runs one piece at a time. */
export const ONE_THREAD: RoomLimits = { inAll: 1, perCaller: 1, oneBeyond: false };

/** A part of the room. */
export interface Held {
  /** Reduces the held amount; never increases it. */
  shrink(amount: number): void;
  /** Gives all of it back. May be called again. */
  give(): void;
}

/**
 * Room, in bytes or places, that callers share. A caller that finds too little waits; callers take
 * turns, and calls of one caller run in order of arrival.
 */
export class FairRoom {
  /** In the order of turns. */
  readonly #waiting = new Map<string, Waiting[]>();
  readonly #held = new Map<string, number>();
  #all = 0;

  constructor(private readonly limits: RoomLimits) {}

  /** Waits for this much room. Fails with the signal's reason, and then leaves the queue. */
  async take(caller: string, amount: number, signal: AbortSignal): Promise<Held> {
    signal.throwIfAborted();
    if (!this.#waiting.has(caller) && this.#fits(caller, amount)) return this.#hold(caller, amount);
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#forget(caller, waiting);
        reject(asHostlerError(signal.reason));
      };
      const waiting: Waiting = {
        amount,
        begin: () => {
          signal.removeEventListener('abort', onAbort);
          resolve(this.#hold(caller, amount));
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      const queue = this.#waiting.get(caller);
      if (queue === undefined) this.#waiting.set(caller, [waiting]);
      else queue.push(waiting);
    });
  }

  #fits(caller: string, amount: number): boolean {
    const own = this.#held.get(caller) ?? 0;
    if (own === 0 && this.limits.oneBeyond) return true;
    return own + amount <= this.limits.perCaller && this.#all + amount <= this.limits.inAll;
  }

  #hold(caller: string, amount: number): Held {
    let now = amount;
    this.#count(caller, amount);
    const shrink = (to: number) => {
      if (to >= now) return;
      this.#count(caller, to - now);
      now = to;
      this.#next();
    };
    return { shrink, give: () => shrink(0) };
  }

  #count(caller: string, more: number): void {
    this.#all += more;
    const now = (this.#held.get(caller) ?? 0) + more;
    if (now === 0) this.#held.delete(caller);
    else this.#held.set(caller, now);
  }

  /** Starts all waiting requests that fit, one of each caller in a round. */
  #next(): void {
    for (let begun = true; begun;) {
      begun = false;
      for (const [caller, queue] of [...this.#waiting]) {
        const [first] = queue;
        if (first === undefined || !this.#fits(caller, first.amount)) continue;
        this.#forget(caller, first);
        first.begin();
        begun = true;
      }
    }
  }

  /** Moves its caller to the end of the order. */
  #forget(caller: string, waiting: Waiting): void {
    const rest = (this.#waiting.get(caller) ?? []).filter((other) => other !== waiting);
    this.#waiting.delete(caller);
    if (rest.length > 0) this.#waiting.set(caller, rest);
  }
}

interface Waiting {
  readonly amount: number;
  readonly begin: () => void;
}
