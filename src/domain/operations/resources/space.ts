import { HostlerError } from '../../model/errors.js';
import { orAborted, pause } from '../../model/async.js';

/** A filesystem, and the path by which messages name it. */
interface Place {
  readonly filesystem: string;
  readonly path: string;
}

/** Space that is reserved on one filesystem. */
interface Reservation {
  readonly filesystem: string;
  readonly needBytes: bigint;
  /** The current allocated bytes of the operation's files: they are no longer outstanding. */
  readonly takenBytes: () => Promise<bigint>;
}

/** The requester, and how to find out what is free. */
export interface SpaceRequest extends Reservation, Place {
  readonly freeBytes: () => Promise<bigint>;
}

/** The measurements of one filesystem, one after the other. */
interface Line {
  last: Promise<unknown>;
  /** Number of requests that got no answer in time and still have none. */
  overdue: number;
}

/**
 * Reserves space before work starts, so that jobs that fit one at a time but not together do not
 * both begin. Each filesystem has its own queue: one that does not answer affects only requests for
 * it, and one thread.
 */
export class SpaceLedger {
  readonly #reservations = new Set<Reservation>();
  /** One decision at a time: measuring and reserving must not interleave. */
  readonly #lines = new Map<string, Line>();

  /**
   * @param overheadBytes kept free on every filesystem
   * @param patienceMs how long a filesystem may take to report its free space
   */
  constructor(
    private readonly overheadBytes: bigint,
    private readonly patienceMs: number,
  ) {}

  /**
   * Returns the release. Fails with NO_SPACE, which tells what is needed, free and reserved, with
   * ROOT_STALLED, and with the signal's reason.
   */
  reserve(request: SpaceRequest, signal: AbortSignal): Promise<() => void> {
    return this.#inTurn(request, signal, (isAwaited) => this.#decide(request, isAwaited));
  }

  /** Outstanding bytes on a filesystem: reserved but not yet allocated. Fails with ROOT_STALLED. */
  reservedBytes(place: Place, signal: AbortSignal): Promise<bigint> {
    return this.#inTurn(place, signal, () => this.#reserved(place.filesystem));
  }

  get size(): number {
    return this.#reservations.size;
  }

  /**
   * Measures after all earlier requests. A request that is no longer awaited reserves nothing: then
   * `isAwaited` is false.
   */
  async #inTurn<T>(
    { filesystem, path }: Place,
    signal: AbortSignal,
    measure: (isAwaited: () => boolean) => Promise<T>,
  ): Promise<T> {
    const line = this.#lines.get(filesystem) ?? { last: Promise.resolve(), overdue: 0 };
    if (line.overdue > 0) throw this.#stalled(path);
    this.#lines.set(filesystem, line);
    const state = { awaited: true, over: false };
    const measured = line.last.then(() => {
      // It has waited behind a measurement that hung, and is no longer awaited.
      if (!state.awaited) throw this.#stalled(path);
      return measure(() => state.awaited);
    });
    const settled = measured
      .catch(() => undefined) // thrown below to the waiting caller
      .then(() => {
        state.over = true;
        if (line.last === settled) this.#lines.delete(filesystem);
      });
    line.last = settled;
    try {
      await orAborted(pause(this.patienceMs, settled), signal);
      if (state.over) return await measured;
      line.overdue += 1;
      void settled.then(() => (line.overdue -= 1));
      throw this.#stalled(path);
    } finally {
      state.awaited = false;
    }
  }

  async #decide(request: SpaceRequest, isAwaited: () => boolean): Promise<() => void> {
    const { filesystem, needBytes, freeBytes, path, takenBytes } = request;
    const [reserved, missing, free] = [await this.#reserved(filesystem), await outstanding(request), await freeBytes()];
    if (!isAwaited()) throw this.#stalled(path);
    if (missing + reserved + this.overheadBytes > free) {
      throw new HostlerError(
        'NO_SPACE',
        `${path} needs ${String(needBytes)} bytes; ${String(free)} are free, ${String(reserved)} of them reserved`,
        {
          facts: { path, needed: String(needBytes), free: String(free), reserved: String(reserved) },
        },
      );
    }
    const reservation = { filesystem, needBytes, takenBytes };
    this.#reservations.add(reservation);
    return () => this.#reservations.delete(reservation);
  }

  async #reserved(filesystem: string): Promise<bigint> {
    let sum = 0n;
    for (const reservation of this.#reservations)
      if (reservation.filesystem === filesystem) sum += await outstanding(reservation);
    return sum;
  }

  #stalled(path: string): HostlerError {
    return new HostlerError('ROOT_STALLED', `the filesystem of ${path} does not report its space`, {
      facts: { path, waited_ms: String(this.patienceMs) },
      retryAfterMs: this.patienceMs,
    });
  }
}

/** The bytes of a reservation that are not on the disk yet. */
async function outstanding({ needBytes, takenBytes }: Reservation): Promise<bigint> {
  // If they cannot be measured, all count as not on the disk: the failure is of another operation
  // and must not fail this caller.
  const taken = await takenBytes().catch(() => 0n);
  return taken >= needBytes ? 0n : needBytes - taken;
}
