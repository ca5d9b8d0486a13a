import { HostlerError } from '../../model/errors.js';
import { shareOf } from '../../model/share.js';
import { deferred, orAborted } from '../../model/async.js';
import { QueuePlaces, type Waiting } from './queue-places.js';

/**
 * `io` moves data. `export` serves data to others and never takes an io slot, so that two agents
 * that pull from each other do not block. `open` waits for other operations most of the time:
 * copies that another agent carries out, fetches through the cache. `upload` waits for its caller,
 * up to a day, so nothing else waits behind it. `none` is short work that must not wait behind
 * hours of copying. `plan` only finds out what an operation would do, often with a tool.
 */
export type Slot = 'io' | 'export' | 'open' | 'upload' | 'none' | 'plan';

export interface SlotLimits {
  readonly running: Readonly<Record<Slot, number>>;
  /** Limit of running `io` operations on one filesystem. */
  readonly perFilesystem: number;
  /**
   * The part, up to 1, of the slots of each kind and filesystem that one caller may have; also the
   * part of the `io` and `plan` slots for all operations that wait for other hosts, of which one
   * caller may have this part again.
   */
  readonly callersPart: number;
  readonly queued: number;
  /** Limit of waiting operations of one caller. */
  readonly queuedPerCaller: number;
}

/** A place in the queue, then a slot. */
export interface Ticket {
  /** Resolves when the slot is granted; rejects with the signal's reason. */
  granted(signal: AbortSignal): Promise<void>;
  /** Gives the place or slot back. */
  readonly release: () => void;
}

/** The requested slot, and the caller. */
export interface SlotRequest {
  readonly slot: Slot;
  readonly filesystems: readonly string[];
  /** Callers take turns. */
  readonly caller: string;
  /**
   * Whether it may wait long for another host: such operations leave slots to those that do not.
   */
  readonly far?: boolean;
  /**
   * Whether it lasts until its caller ends it: it does not wait behind the caller's own, nor an
   * upload behind any other. Not set for one that resumes after a restart.
   */
  readonly standing?: boolean;
}

interface Entry extends SlotRequest, Waiting {
  readonly grant: () => void;
  /** By the clock of `SlotWatch`. */
  readonly since: number;
}

/** Receives how long operations waited for slots. */
export interface SlotWatch {
  /** In ms. */
  readonly clock: () => number;
  readonly granted: (slot: Slot, waitedMs: number) => void;
}

const UNWATCHED: SlotWatch = { clock: () => 0, granted: () => undefined };

const FULL_RETRY_MS = 2000;

/**
 * Callers take turns, each in order of arrival; a busy filesystem does not delay the others.
 * However much one caller requests, another waits for at most one of its operations.
 */
export class Slots {
  /** In the order of turns, as far as `#order` has processed them; later ones at the end. */
  #waiting = new Set<Entry>();
  readonly #running = new Set<Entry>();
  readonly #count = { waiting: new Map<string, number>(), running: new Map<string, number>() };
  readonly #places = new QueuePlaces<Entry>(
    () => this.#order(),
    (entry) => this.#waiting.has(entry),
  );

  constructor(
    private readonly limits: SlotLimits,
    private readonly watch = UNWATCHED,
  ) {}

  /**
   * Fails with TOO_MANY_OPERATIONS if no slot is free and the queue is full, or an upload would
   * wait for other uploads, and with CALLER_AT_LIMIT if a standing operation would wait for those
   * that its own caller keeps open.
   * @param onPosition gets the place in the queue, 1 for the next, soon after it changed
   */
  enter(request: SlotRequest, onPosition: (position: number) => void): Ticket {
    const granted = deferred();
    const entry: Entry = { ...request, grant: granted.resolve, onPosition, since: this.watch.clock() };
    this.#waiting.add(entry);
    count(this.#count.waiting, keysOf(entry), 1);
    this.#advance(entry.slot);
    if (this.#waiting.has(entry)) {
      this.#assertRoom(entry);
      this.#places.joined(entry, this.#waiting.size);
    }
    return {
      granted: (signal) => orAborted(granted.promise, signal),
      release: () => {
        this.#leave(entry);
      },
    };
  }

  /** How many wait for, and have, a slot of this kind now, and how many may have one. */
  usage(slot: Slot): { readonly waiting: number; readonly running: number; readonly limit: number } {
    const at = (counts: Map<string, number>) => counts.get(slotKey(slot)) ?? 0;
    return { waiting: at(this.#count.waiting), running: at(this.#count.running), limit: this.limits.running[slot] };
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  get running(): number {
    return this.#running.size;
  }

  #assertRoom(entry: Entry): void {
    if (entry.standing === true && !this.#hasShare(entry)) {
      this.#leave(entry);
      const most = String(this.#share(entry.slot));
      throw new HostlerError('CALLER_AT_LIMIT', `${entry.caller} keeps ${most} open already`, {
        facts: { caller: entry.caller, open: most },
        retryAfterMs: FULL_RETRY_MS,
      });
    }
    if (entry.standing === true && entry.slot === 'upload') {
      this.#leave(entry);
      const most = String(this.limits.running.upload);
      throw new HostlerError('TOO_MANY_OPERATIONS', `${most} uploads are open already`, {
        facts: { open: most },
        retryAfterMs: FULL_RETRY_MS,
      });
    }
    const { queued, queuedPerCaller } = this.limits;
    const own = this.#count.waiting.get(callerKey(entry.caller)) ?? 0;
    if (this.#waiting.size <= queued && own <= queuedPerCaller) return;
    this.#leave(entry);
    const [whose, limit] = own > queuedPerCaller ? ['of the caller ', queuedPerCaller] : ['', queued];
    throw new HostlerError('TOO_MANY_OPERATIONS', `${String(limit)} operations ${whose}are waiting already`, {
      facts: { queued: String(limit) },
      retryAfterMs: FULL_RETRY_MS,
    });
  }

  #leave(entry: Entry): void {
    // Turns depend on the running operations, so they are computed before one of those leaves.
    if (this.#running.has(entry) && this.#awaited(entry.slot)) this.#order();
    if (this.#running.delete(entry)) count(this.#count.running, keysOf(entry), -1);
    if (this.#waiting.delete(entry)) count(this.#count.waiting, keysOf(entry), -1);
    this.#advance(entry.slot);
  }

  /** Grants slots of this kind to as many waiting operations as fit. */
  #advance(slot: Slot): void {
    if (this.#room(slot) && this.#awaited(slot)) {
      for (const entry of this.#order()) {
        if (entry.slot !== slot || !this.#fits(entry)) continue;
        this.#waiting.delete(entry);
        count(this.#count.waiting, keysOf(entry), -1);
        this.#running.add(entry);
        count(this.#count.running, keysOf(entry), 1);
        entry.grant();
        this.watch.granted(slot, this.watch.clock() - entry.since);
        if (!this.#room(slot)) break;
      }
    }
    if (this.#waiting.size > 0) this.#places.changed();
  }

  /**
   * The caller with the fewest operations running and ahead in the queue comes first; then the
   * earlier order.
   */
  #order(): readonly Entry[] {
    const before = new Map<string, number>();
    const next = ({ slot, caller }: Entry) => {
      const key = `${slot} ${caller}`;
      const turn = before.get(key) ?? 0;
      before.set(key, turn + 1);
      return turn;
    };
    for (const entry of this.#running) next(entry);
    const entries = [...this.#waiting]
      .map((entry) => ({ entry, turn: next(entry) }))
      .sort((a, b) => a.turn - b.turn)
      .map(({ entry }) => entry);
    this.#waiting = new Set(entries);
    return entries;
  }

  #awaited(slot: Slot): boolean {
    return (this.#count.waiting.get(slotKey(slot)) ?? 0) > 0;
  }

  #room(slot: Slot): boolean {
    return (this.#count.running.get(slotKey(slot)) ?? 0) < this.limits.running[slot];
  }

  #share(slot: Slot): number {
    return shareOf(this.limits.running[slot], this.limits.callersPart);
  }

  #hasShare({ slot, caller }: Entry): boolean {
    return (this.#count.running.get(callersKey(slotKey(slot), caller)) ?? 0) < this.#share(slot);
  }

  #fits(entry: Entry): boolean {
    const { slot, filesystems, caller, far } = entry;
    if (!this.#hasShare(entry)) return false;
    const isShared = slot === 'io' || slot === 'plan';
    if (isShared && far === true && !this.#hasFarShare(slotKey(slot), this.#share(slot), caller)) return false;
    if (slot !== 'io') return true;
    const { perFilesystem, callersPart } = this.limits;
    const share = shareOf(perFilesystem, callersPart);
    return filesystems
      .map(filesystemKey)
      .every(
        (key) =>
          this.#at(key) < perFilesystem &&
          this.#at(callersKey(key, caller)) < share &&
          (far !== true || this.#hasFarShare(key, share, caller)),
      );
  }

  /**
   * One caller gets only a part of the slots for other hosts: otherwise its slow servers would
   * block all callers.
   */
  #hasFarShare(key: string, limit: number, caller: string): boolean {
    const far = farKey(key);
    return this.#at(far) < limit && this.#at(callersKey(far, caller)) < shareOf(limit, this.limits.callersPart);
  }

  #at(key: string): number {
    return this.#count.running.get(key) ?? 0;
  }
}

const slotKey = (slot: Slot) => `slot ${slot}`;
const callerKey = (caller: string) => `caller ${caller}`;
const filesystemKey = (id: string) => `filesystem ${id}`;
const farKey = (key: string) => `${key} for other hosts`;
const callersKey = (key: string, caller: string) => `${key} of ${caller}`;

/**
 * The keys that an operation is counted under; filesystems only if their number of running
 * operations is limited.
 */
function keysOf({ slot, caller, filesystems, far }: SlotRequest): string[] {
  const limited = slot === 'io' ? [...new Set(filesystems)].map(filesystemKey) : [];
  const kinds = [slotKey(slot), ...limited];
  const shared = far === true ? [...kinds, ...kinds.map(farKey)] : kinds;
  return [...shared, ...shared.map((key) => callersKey(key, caller)), callerKey(caller)];
}

/** Removes keys that reach 0, so that former callers are forgotten. */
function count(counts: Map<string, number>, keys: readonly string[], by: 1 | -1): void {
  for (const key of keys) {
    const now = (counts.get(key) ?? 0) + by;
    if (now === 0) counts.delete(key);
    else counts.set(key, now);
  }
}
