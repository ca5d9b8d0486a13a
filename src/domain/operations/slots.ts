import { HostlerError } from '../errors.js';
import { deferred, orAborted } from '../waiting.js';

/**
 * `io` moves data; `export` serves data to others and never takes an io slot, so that two agents that pull from each other do not
 * block; `open` waits for others most of its life: uploads, copies that another agent carries out; `none` is short work that must not
 * wait behind hours of copying.
 */
export type Slot = 'io' | 'export' | 'open' | 'none';

export interface SlotLimits {
  readonly running: Readonly<Record<Slot, number>>;
  /** At work at once on one filesystem, of those in `io`. */
  readonly perFilesystem: number;
  readonly queued: number;
  /** Of one caller, of those. */
  readonly queuedPerCaller: number;
}

/** A place in the queue, then a slot. */
export interface Ticket {
  /** Resolved when the slot is there; rejected with the signal's reason. */
  granted(signal: AbortSignal): Promise<void>;
  /** Gives the place or slot back. */
  readonly release: () => void;
}

/** What is wanted, by whom. */
export interface Wish {
  readonly slot: Slot;
  readonly filesystems: readonly string[];
  /** Callers take turns. */
  readonly caller: string;
}

interface Entry extends Wish {
  readonly grant: () => void;
  readonly onPosition: (position: number) => void;
}

const FULL_RETRY_MS = 2000;

/**
 * Callers take turns, each in the order in which it came; a busy filesystem does not hold up the others. However much one caller asks for, another waits
 * for one of its operations at the most.
 */
export class Slots {
  #waiting: Entry[] = [];
  readonly #running = new Set<Entry>();

  constructor(private readonly limits: SlotLimits) {}

  /** Fails with TOO_MANY_OPERATIONS when no slot is free and the queue is full. */
  enter(wish: Wish, onPosition: (position: number) => void): Ticket {
    const granted = deferred();
    const entry: Entry = { ...wish, grant: granted.resolve, onPosition };
    this.#waiting.push(entry);
    this.#advance();
    if (this.#waiting.includes(entry)) this.#assertRoom(entry);
    return {
      granted: (signal) => orAborted(granted.promise, signal),
      release: () => {
        this.#leave(entry);
      },
    };
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  get running(): number {
    return this.#running.size;
  }

  #assertRoom(entry: Entry): void {
    const { queued, queuedPerCaller } = this.limits;
    const own = this.#waiting.filter(({ caller }) => caller === entry.caller).length;
    if (this.#waiting.length <= queued && own <= queuedPerCaller) return;
    this.#leave(entry);
    const [whose, count] = own > queuedPerCaller ? ['of the caller ', queuedPerCaller] : ['', queued];
    throw new HostlerError('TOO_MANY_OPERATIONS', `${String(count)} operations ${whose}are waiting already`, {
      facts: { queued: String(count) },
      retryAfterMs: FULL_RETRY_MS,
    });
  }

  #leave(entry: Entry): void {
    this.#running.delete(entry);
    this.#waiting = this.#waiting.filter((other) => other !== entry);
    this.#advance();
  }

  #advance(): void {
    const still: Entry[] = [];
    for (const entry of this.#inTurn()) {
      if (this.#fits(entry)) {
        this.#running.add(entry);
        entry.grant();
      } else {
        still.push(entry);
      }
    }
    this.#waiting = still;
    for (const [index, entry] of still.entries()) entry.onPosition(index + 1);
  }

  /** The waiting: whoever has least at work and in front of it comes first; then whoever came first. */
  #inTurn(): Entry[] {
    const before = new Map<string, number>();
    const next = ({ slot, caller }: Entry) => {
      const key = `${slot} ${caller}`;
      const turn = before.get(key) ?? 0;
      before.set(key, turn + 1);
      return turn;
    };
    for (const entry of this.#running) next(entry);
    return this.#waiting
      .map((entry) => ({ entry, turn: next(entry) }))
      .sort((a, b) => a.turn - b.turn)
      .map(({ entry }) => entry);
  }

  #fits({ slot, filesystems }: Entry): boolean {
    const same = [...this.#running].filter((other) => other.slot === slot);
    if (same.length >= this.limits.running[slot]) return false;
    if (slot !== 'io') return true;
    return filesystems.every(
      (id) => same.filter((other) => other.filesystems.includes(id)).length < this.limits.perFilesystem,
    );
  }
}
