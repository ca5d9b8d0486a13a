/**
 * What an operation releases at its end, or earlier: a long one that reserves repeatedly does not
 * accumulate entries.
 */
export class Releases {
  readonly #open = new Set<() => void>();

  /** Held until the returned function is called, or until the end. */
  add(release: () => void): () => void {
    this.#open.add(release);
    return () => {
      this.#open.delete(release);
      release();
    };
  }

  end(): void {
    for (const release of this.#open) release();
    this.#open.clear();
  }
}
