/** The free space in the places of this host, as of the last measurement. */
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

/** A place that is measured. */
export interface WatchedPlace {
  readonly name: string;
  /** Fails with ROOT_STALLED in bounded time if the place does not answer. */
  readonly measure: () => Promise<PlaceSpace>;
}

/** The state of a place at its last measurement. */
export interface PlaceState {
  /** The latest figures; unset: the place has not answered yet. */
  readonly space?: PlaceSpace;
  readonly state: 'answers' | 'stalled' | 'unavailable';
}

/**
 * Measured in parallel, so that one place that does not answer does not delay the others for long.
 */
const LOOKS_AT_ONCE = 4;

/**
 * Measures places in the background on request, so that no caller waits for one that does not
 * answer.
 */
export class SpaceWatch {
  readonly #states = new Map<string, PlaceState>();
  readonly #busy = new Set<string>();
  #nextAt = -Infinity;

  /**
   * @param freshMs maximum age of figures
   * @param clock in ms
   */
  constructor(
    private readonly places: readonly WatchedPlace[],
    private readonly freshMs: number,
    private readonly clock: () => number,
  ) {}

  /** Starts to measure every place unless the figures are fresh. Returns at once. */
  start(): void {
    const now = this.clock();
    if (now < this.#nextAt) return;
    this.#nextAt = now + this.freshMs;
    // A place with a pending measurement is not measured again.
    const queue = this.places.filter(({ name }) => !this.#busy.has(name));
    for (let line = 0; line < LOOKS_AT_ONCE; line++) void this.#lookAtAll(queue);
  }

  /** All places that were measured. */
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
