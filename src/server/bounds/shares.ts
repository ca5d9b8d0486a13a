/** Such a part of its bound is little. */
const LITTLE = 8;

/**
 * How much of something each caller holds, up to a bound that is the same for all, and all of them
 * up to another one; a caller that holds little of its own bound is let in beyond that.
 */
export class Shares {
  readonly #held = new Map<string, number>();
  #all = 0;

  constructor(
    private readonly most: number,
    private readonly inAll = Number.POSITIVE_INFINITY,
  ) {}

  /** Whether anybody holds anything. */
  get empty(): boolean {
    return this.#held.size === 0;
  }

  /**
   * Takes so much more, or less where it is negative; false, and nothing is taken, where it would
   * be too much.
   */
  take(caller: string, amount: number): boolean {
    const now = (this.#held.get(caller) ?? 0) + amount;
    if (amount > 0 && (now > this.most || (this.#all + amount > this.inAll && now > this.most / LITTLE))) return false;
    this.#all += amount;
    if (now <= 0) this.#held.delete(caller);
    else this.#held.set(caller, now);
    return true;
  }

  give(caller: string, amount: number): void {
    this.take(caller, -amount);
  }
}
