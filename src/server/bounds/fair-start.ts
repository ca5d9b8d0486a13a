/**
 * Starts calls with the callers taking turns: hundreds of calls of one caller delay another's call
 * by a few turns only. A turn covers the work that a call does at once; a call that waits for a
 * disk or a tool gives its turn back, and continues.
 */
export class FairStart {
  /** In the order of turns. */
  readonly #waiting = new Map<string, Begin[]>();
  readonly #held = new Map<string, number>();
  #all = 0;

  constructor(private readonly limits: StartLimits = LIMITS) {}

  /**
   * Waits for a turn. Returns a function that gives it back; a turn that is held too long ends by
   * itself.
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
  /** A turn ends by itself after this time. */
  readonly longestMs: number;
}

/**
 * Few, so that a call with many steps gets each turn soon; enough to keep the disk busy while the
 * daemon works on another call.
 */
const LIMITS: StartLimits = { inAll: 8, perCaller: 4, longestMs: 25 };
