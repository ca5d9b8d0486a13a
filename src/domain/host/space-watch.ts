/** What is free in the places of this host, as it was looked up last. */
import { asHostlerError } from '../model/errors.js';
import { breathe } from '../model/async.js';

/** Figures of one place, in bytes. */
export interface PlaceSpace {
  readonly freeBytes: bigint;
  readonly sizeBytes: bigint;
  readonly reservedBytes: bigint;
  /** Undefined until it is known. */
  readonly overcommittedBytes?: bigint | undefined;
}

/** A place that is looked at. */
export interface WatchedPlace {
  readonly name: string;
  /** Fails with ROOT_STALLED in bounded time where the place does not answer. */
  readonly measure: () => Promise<PlaceSpace>;
}

/** How a place was when it was looked at last. */
export interface PlaceState {
  /** The latest that there were; unset: it has not answered yet. */
  readonly space?: PlaceSpace;
  readonly state: 'answers' | 'stalled' | 'unavailable';
}

/** Side by side: one place that does not answer holds up no other for long. */
const LOOKS_AT_ONCE = 4;

/**
 * Looks at places in the background, on request, so that nobody waits for one that does not answer.
 */
export class SpaceWatch {
  readonly #states = new Map<string, PlaceState>();
  readonly #busy = new Set<string>();
  #nextAt = -Infinity;

  /**
   * @param freshMs figures may be so old
   * @param clock in ms
   */
  constructor(
    private readonly places: readonly WatchedPlace[],
    private readonly freshMs: number,
    private readonly clock: () => number,
  ) {}

  /** A look at every place begins, unless the figures are fresh. Returns at once. */
  start(): void {
    const now = this.clock();
    if (now < this.#nextAt) return;
    this.#nextAt = now + this.freshMs;
    // What an earlier look still waits for is not asked again.
    const queue = this.places.filter(({ name }) => !this.#busy.has(name));
    for (let line = 0; line < LOOKS_AT_ONCE; line++) void this.#lookAtAll(queue);
  }

  /** All places that were looked at. */
  get states(): Iterable<readonly [name: string, state: PlaceState]> {
    return this.#states;
  }

  /** Never rejects. */
  async #lookAtAll(queue: WatchedPlace[]): Promise<void> {
    for (let place = queue.shift(); place !== undefined; place = queue.shift()) {
      this.#busy.add(place.name);
      this.#states.set(place.name, await this.#look(place));
      this.#busy.delete(place.name);
      await breathe();
    }
  }

  async #look({ name, measure }: WatchedPlace): Promise<PlaceState> {
    try {
      return { space: await measure(), state: 'answers' };
    } catch (error) {
      const state = asHostlerError(error).reason === 'ROOT_STALLED' ? 'stalled' : 'unavailable';
      const before = this.#states.get(name)?.space;
      return { ...(before === undefined ? {} : { space: before }), state };
    }
  }
}
