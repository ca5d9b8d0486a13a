/**
 * What an operation gives back at its end, or earlier: a long one that reserves again and again
 * keeps no list of it.
 */
export class Releases {
  readonly #open = new Set<() => void>();

  /** Until what it returns is called, or the end. */
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
