import { HostlerError } from '../../model/errors.js';
import { shareOf } from '../../model/share.js';
import { deferred, orAborted } from '../../model/async.js';
import { QueuePlaces, type Waiting } from './queue-places.js';

/**
 * `io` moves data; `export` serves data to others and never takes an io slot, so that two agents
 * that pull from each other do not block; `open` waits for other operations most of its life:
 * copies that another agent carries out, fetches by way of the cache; `upload` waits for its
 * caller, for a day if that does not come back, so nothing else waits behind it; `none` is short
 * work that must not wait behind hours of copying; `plan` only finds out what an operation would
 * do, often by a tool.
 */
export type Slot = 'io' | 'export' | 'open' | 'upload' | 'none' | 'plan';

export interface SlotLimits {
  readonly running: Readonly<Record<Slot, number>>;
  /** At work at once on one filesystem, of those in `io`. */
  readonly perFilesystem: number;
  /**
   * Of the running ones, in each slot and on each filesystem, that one caller may have, and of
   * those in `io` and `plan` that all that wait for other hosts may have: a part, up to 1. Of the
   * places for those one caller may have this part again.
   */
  readonly callersPart: number;
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
export interface SlotRequest {
  readonly slot: Slot;
  readonly filesystems: readonly string[];
  /** Callers take turns. */
  readonly caller: string;
  /** It waits for another host as long as that likes: those leave places to what needs nobody. */
  readonly far?: boolean;
  /**
   * It lasts until its caller ends it: it does not wait behind the caller's own, nor an upload
   * behind any other. Not set for one that resumes after a restart.
   */
  readonly standing?: boolean;
}

interface Entry extends SlotRequest, Waiting {
  readonly grant: () => void;
  /** By the clock of `SlotWatch`. */
  readonly since: number;
}

/** Who wants to know how long slots were waited for. */
export interface SlotWatch {
  /** In ms. */
  readonly clock: () => number;
  readonly granted: (slot: Slot, waitedMs: number) => void;
}

const UNWATCHED: SlotWatch = { clock: () => 0, granted: () => undefined };

const FULL_RETRY_MS = 2000;

/**
 * Callers take turns, each in the order in which it came; a busy filesystem does not hold up the
 * others. However much one caller asks for, another waits for one of its operations at the most.
 */
export class Slots {
  /** In the order of their turns, as far as `#order` has looked at them; later ones behind. */
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
   * Fails with TOO_MANY_OPERATIONS when no slot is free and the queue is full, or an upload would
   * wait for other uploads, and with CALLER_AT_LIMIT when what stands would wait for what its own
   * caller keeps open.
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
    // Turns count what is at work, so they are looked at before one of those leaves.
    if (this.#running.has(entry) && this.#awaited(entry.slot)) this.#order();
    if (this.#running.delete(entry)) count(this.#count.running, keysOf(entry), -1);
    if (this.#waiting.delete(entry)) count(this.#count.waiting, keysOf(entry), -1);
    this.#advance(entry.slot);
  }

  /** Lets in those that wait for this kind of slot, as many as fit. */
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
   * The caller with the fewest operations at work and in front of it comes first; then as it was
   * before.
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
   * One caller has a part of what there is for other hosts too: else its slow servers would keep
   * everybody from theirs.
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

/** What an operation is counted under; filesystems only where their number at work is limited. */
function keysOf({ slot, caller, filesystems, far }: SlotRequest): string[] {
  const limited = slot === 'io' ? [...new Set(filesystems)].map(filesystemKey) : [];
  const kinds = [slotKey(slot), ...limited];
  const shared = far === true ? [...kinds, ...kinds.map(farKey)] : kinds;
  return [...shared, ...shared.map((key) => callersKey(key, caller)), callerKey(caller)];
}

/** Keeps no key at 0, so that callers that came once are forgotten. */
function count(counts: Map<string, number>, keys: readonly string[], by: 1 | -1): void {
  for (const key of keys) {
    const now = (counts.get(key) ?? 0) + by;
    if (now === 0) counts.delete(key);
    else counts.set(key, now);
  }
}
