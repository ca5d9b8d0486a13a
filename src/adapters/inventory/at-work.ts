/** Pieces of work that run at the same time. */
export class AtWork {
  readonly #running = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  begin(piece: Promise<void>): void {
    const running = piece
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .then(() => void this.#running.delete(running));
    this.#running.add(running);
  }

  /** Waits until fewer than `width` run. Fails as the first piece that failed. */
  async below(width: number): Promise<void> {
    while (this.#running.size >= width && this.#failure === undefined) await Promise.race(this.#running);
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Waits until none runs, also when some failed. Fails as the first of those. */
  async all(): Promise<void> {
    await Promise.all(this.#running);
    await this.below(1);
  }
}
