import { setTimeout as sleep } from 'node:timers/promises';

/** An operation that waits for its turn. */
export interface Waiting {
  /** Called with its place in the queue; 1 is the next. */
  readonly onPosition: (position: number) => void;
}

/** Interval of reports, in ms. */
const INTERVAL_MS = 250;
/** Reports in one turn of the event loop: about a millisecond. */
const SLICE = 200;

/**
 * Reports to waiting entries their places. Each change moves all entries behind it, so with
 * thousands in the queue places are reported a few times a second, in slices, and only to entries
 * whose place changed.
 */
export class QueuePlaces<T extends Waiting> {
  readonly #reported = new WeakMap<T, number>();
  #again = false;
  #busy = false;

  /**
   * @param inTurn the waiting entries, the next first
   * @param waits whether an entry still waits: it may have left between two slices
   */
  constructor(
    private readonly inTurn: () => readonly T[],
    private readonly waits: (entry: T) => boolean,
  ) {}

  /** The entry waits now, at the end of the queue as far as known. */
  joined(entry: T, place: number): void {
    this.#reported.set(entry, place);
    entry.onPosition(place);
  }

  /** The queue has changed. */
  changed(): void {
    this.#again = true;
    if (!this.#busy) void this.#tell();
  }

  /** Never rejects. */
  async #tell(): Promise<void> {
    this.#busy = true;
    await new Promise(setImmediate);
    while (this.#again) {
      this.#again = false;
      await this.#tellAll(this.inTurn());
      await sleep(INTERVAL_MS, undefined, { ref: false });
    }
    this.#busy = false;
  }

  async #tellAll(waiting: readonly T[]): Promise<void> {
    for (const [index, entry] of waiting.entries()) {
      if (index % SLICE === SLICE - 1) await new Promise(setImmediate);
      if (!this.waits(entry) || this.#reported.get(entry) === index + 1) continue;
      this.#reported.set(entry, index + 1);
      entry.onPosition(index + 1);
    }
  }
}
