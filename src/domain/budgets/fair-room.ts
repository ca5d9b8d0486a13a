import { asHostlerError } from '../model/errors.js';

export interface RoomLimits {
  /** Held at once by all callers. */
  readonly inAll: number;
  /** Held at once by one caller. */
  readonly perCaller: number;
  /**
   * A caller that holds nothing goes beyond both with one thing: nobody keeps it waiting but
   * itself.
   */
  readonly oneBeyond: boolean;
}

/** What is done by one at a time. */
export const ONE_THREAD: RoomLimits = { inAll: 1, perCaller: 1, oneBeyond: false };

/** A part of the room. */
export interface Held {
  /** Holds only so much from now on; never more than before. */
  shrink(amount: number): void;
  /** Gives all of it back. May be called again. */
  give(): void;
}

/**
 * Room, in bytes or places, that callers share. Who finds too little waits; callers take turns, and
 * the calls of one caller go in the order in which they came.
 */
export class FairRoom {
  /** Whose turn comes next is first. */
  readonly #waiting = new Map<string, Waiting[]>();
  readonly #held = new Map<string, number>();
  #all = 0;

  constructor(private readonly limits: RoomLimits) {}

  /**
   * Waits for so much room. Fails with the signal's reason; then it has no place in the queue any
   * more.
   */
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

  /** All who fit now begin, one of each caller in a round. */
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

  /** Its caller comes last from now on. */
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
