/**
 * Calls begin in turns of their callers: one caller's hundreds at a time cost another's call the
 * turns of a few. A turn is for what a call has to do at once; one that waits for a disk or a tool
 * gives its turn back, and continues.
 */
export class FairStart {
  /** Whose turn comes next is first. */
  readonly #waiting = new Map<string, Begin[]>();
  readonly #held = new Map<string, number>();
  #all = 0;

  constructor(private readonly limits: StartLimits = LIMITS) {}

  /**
   * Waits for a turn. Returns how to give it back; it goes back by itself when it was held for too
   * long.
   */
  async take(caller: string): Promise<() => void> {
    if (this.#hasRoom(caller)) return this.#hold(caller);
    return new Promise((resolve) => {
      const begin = () => {
        resolve(this.#hold(caller));
      };
      const queue = this.#waiting.get(caller);
      if (queue === undefined) this.#waiting.set(caller, [begin]);
      else queue.push(begin);
    });
  }

  #hasRoom(caller: string): boolean {
    return this.#all < this.limits.inAll && (this.#held.get(caller) ?? 0) < this.limits.perCaller;
  }

  #hold(caller: string): () => void {
    this.#count(caller, 1);
    let over = false;
    const end = () => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      this.#count(caller, -1);
      this.#next();
    };
    const timer = setTimeout(end, this.limits.longestMs).unref();
    return end;
  }

  #count(caller: string, more: 1 | -1): void {
    this.#all += more;
    const now = (this.#held.get(caller) ?? 0) + more;
    if (now === 0) this.#held.delete(caller);
    else this.#held.set(caller, now);
  }

  #next(): void {
    for (const [caller, queue] of this.#waiting) {
      if (!this.#hasRoom(caller)) continue;
      const begin = queue.shift();
      this.#waiting.delete(caller);
      if (queue.length > 0) this.#waiting.set(caller, queue);
      begin?.();
      return;
    }
  }
}

type Begin = () => void;

export interface StartLimits {
  readonly inAll: number;
  readonly perCaller: number;
  /** A turn goes back by itself after so long. */
  readonly longestMs: number;
}

/**
 * Few, so that a call which does many things one after another comes to each of them soon; enough
 * for the disk to be at work for some while the daemon is for another.
 */
const LIMITS: StartLimits = { inAll: 8, perCaller: 4, longestMs: 25 };
