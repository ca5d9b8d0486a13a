/** Up to this fraction of its limit a caller holds little. */
const LITTLE = 8;

/**
 * How much of something each caller holds, up to a limit for each caller and one for all together;
 * a caller that holds little of its own limit may exceed the common one.
 */
export class Shares {
  readonly #held = new Map<string, number>();
  #all = 0;

  constructor(
    private readonly most: number,
    private readonly inAll = Number.POSITIVE_INFINITY,
  ) {}

  /** Whether no caller holds anything. */
  get empty(): boolean {
    return this.#held.size === 0;
  }

  /**
   * Takes this amount, or gives it back if negative; false, and takes nothing, if it would exceed a
   * limit.
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
