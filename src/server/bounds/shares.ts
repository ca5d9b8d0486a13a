/** How much of something each caller holds, up to a bound that is the same for all. */
export class Shares {
  readonly #held = new Map<string, number>();

  constructor(private readonly most: number) {}

  /** Whether anybody holds anything. */
  get empty(): boolean {
    return this.#held.size === 0;
  }

  /** Takes so much more, or less where it is negative; false, and nothing is taken, where it would be too much. */
  take(caller: string, amount: number): boolean {
    const now = (this.#held.get(caller) ?? 0) + amount;
    if (amount > 0 && now > this.most) return false;
    if (now <= 0) this.#held.delete(caller);
    else this.#held.set(caller, now);
    return true;
  }

  give(caller: string, amount: number): void {
    this.take(caller, -amount);
  }
}
