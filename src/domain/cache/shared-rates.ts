/**
 * The rates of downloads that several wait for: each goes as fast as the one allows who allows the
 * most.
 */
export class SharedRates {
  readonly #wanted = new Map<string, Set<{ readonly bytesPerSecond: bigint | undefined }>>();

  /**
   * One more waits for the download; undefined: it may be as fast as it can. Returns what to call
   * when that one leaves.
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
