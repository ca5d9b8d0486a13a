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
}

/** A place in the queue, then a slot. */
export interface Ticket {
  /** Resolved when the slot is there; rejected with the signal's reason. */
  granted(signal: AbortSignal): Promise<void>;
  /** Gives the place or slot back. */
  readonly release: () => void;
}

interface Entry {
  readonly slot: Slot;
  readonly filesystems: readonly string[];
  readonly grant: () => void;
  readonly onPosition: (position: number) => void;
}

const FULL_RETRY_MS = 2000;

/** First come, first served, except that a busy filesystem does not hold up the others. */
export class Slots {
  #waiting: Entry[] = [];
  readonly #running = new Set<Entry>();

  constructor(private readonly limits: SlotLimits) {}

  /** Fails with TOO_MANY_OPERATIONS when no slot is free and the queue is full. */
  enter(slot: Slot, filesystems: readonly string[], onPosition: (position: number) => void): Ticket {
    const granted = deferred();
    const entry: Entry = { slot, filesystems, grant: granted.resolve, onPosition };
    this.#waiting.push(entry);
    this.#advance();
    if (this.#waiting.length > this.limits.queued) {
      this.#waiting = this.#waiting.filter((other) => other !== entry);
      throw new HostlerError('TOO_MANY_OPERATIONS', `${String(this.limits.queued)} operations are waiting already`, {
        facts: { queued: String(this.limits.queued) },
        retryAfterMs: FULL_RETRY_MS,
      });
    }
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

  #leave(entry: Entry): void {
    this.#running.delete(entry);
    this.#waiting = this.#waiting.filter((other) => other !== entry);
    this.#advance();
  }

  #advance(): void {
    const still: Entry[] = [];
    for (const entry of this.#waiting) {
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

  #fits({ slot, filesystems }: Entry): boolean {
    const same = [...this.#running].filter((other) => other.slot === slot);
    if (same.length >= this.limits.running[slot]) return false;
    if (slot !== 'io') return true;
    return filesystems.every(
      (id) => same.filter((other) => other.filesystems.includes(id)).length < this.limits.perFilesystem,
    );
  }
}
