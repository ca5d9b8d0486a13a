/** The rates of shared downloads: each runs at the highest limit of those that wait for it. */
export class SharedRates {
  readonly #wanted = new Map<string, Set<{ readonly bytesPerSecond: bigint | undefined }>>();

  /**
   * Adds a waiting operation with its limit; undefined: no limit. Returns a function to call when
   * it leaves.
   */
  join(id: string, bytesPerSecond: bigint | undefined): () => void {
    const wanted = this.#wanted.get(id) ?? new Set();
    this.#wanted.set(id, wanted);
    const own = { bytesPerSecond };
    wanted.add(own);
    return () => {
      wanted.delete(own);
      if (wanted.size === 0) this.#wanted.delete(id);
    };
  }

  /** Undefined: no limit. */
  of(id: string): bigint | undefined {
    let most = 0n;
    for (const { bytesPerSecond } of this.#wanted.get(id) ?? []) {
      if (bytesPerSecond === undefined) return undefined;
      if (bytesPerSecond > most) most = bytesPerSecond;
    }
    return most === 0n ? undefined : most;
  }
}
