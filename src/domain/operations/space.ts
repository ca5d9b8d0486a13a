import { HostlerError } from '../errors.js';

/** Space that is spoken for on one filesystem. */
interface Reservation {
  readonly filesystem: string;
  readonly needBytes: bigint;
  /** What the operation's files take by now: that much is no longer outstanding. */
  readonly takenBytes: () => Promise<bigint>;
}

/** Who asks, and how to find out what is free. */
export interface SpaceRequest extends Reservation {
  readonly path: string;
  readonly freeBytes: () => Promise<bigint>;
}

/** Reserves space before work starts, so that jobs that fit one at a time but not together do not both begin. */
export class SpaceLedger {
  readonly #reservations = new Set<Reservation>();
  /** One decision at a time: looking and reserving must not interleave. */
  #last: Promise<unknown> = Promise.resolve();

  /** @param overheadBytes kept free on every filesystem */
  constructor(private readonly overheadBytes: bigint) {}

  /** Returns the release. Fails with NO_SPACE, saying what is needed, free and reserved. */
  reserve(request: SpaceRequest): Promise<() => void> {
    const decision = this.#last.then(() => this.#decide(request));
    this.#last = decision.catch(() => undefined); // whoever asked hears of it
    return decision;
  }

  /** Outstanding on a filesystem: reserved and not yet taken. */
  async reservedBytes(filesystem: string): Promise<bigint> {
    let sum = 0n;
    for (const reservation of this.#reservations) {
      if (reservation.filesystem === filesystem) sum += await outstanding(reservation);
    }
    return sum;
  }

  get size(): number {
    return this.#reservations.size;
  }

  async #decide(request: SpaceRequest): Promise<() => void> {
    const { filesystem, needBytes, freeBytes, path, takenBytes } = request;
    const [reserved, free] = [await this.reservedBytes(filesystem), await freeBytes()];
    if (needBytes + reserved + this.overheadBytes > free) {
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
}

async function outstanding({ needBytes, takenBytes }: Reservation): Promise<bigint> {
  const taken = await takenBytes();
  return taken >= needBytes ? 0n : needBytes - taken;
}
