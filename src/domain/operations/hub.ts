import { HostlerError } from '../model/errors.js';
import { deferred, orAborted, pause } from '../model/async.js';
import { endPlace } from './ends.js';
import { isFinal, type OperationRecord } from './record.js';

/** Limit of changes of state in a watcher's backlog; about 10 MB. */
const MAX_BEHIND = 10_000;

/**
 * After this time without a matching change, a watcher is told its position, so that a resumed
 * watch need not search through the changes it skipped.
 */
const STANDS_MS = 5000;

type Matches = (record: OperationRecord) => boolean;

/**
 * A watcher's position in the changes of state of a host: it has received everything up to here.
 */
export interface WatchPosition {
  /** The place of the last end. */
  readonly ended: string;
  /** A life of the daemon, and the number of its last change that was not an end. */
  readonly life: number;
  readonly moved: number;
}

/** A change, and the position of a watcher that has received it. */
export interface WatchedChange {
  readonly record: OperationRecord;
  readonly position: WatchPosition;
}

/** A change, or only the new position of a watcher for which no change matched. */
export type WatchedStep = WatchedChange | { readonly record?: never; readonly position: WatchPosition };

/** The state from which a watch resumes. */
export interface Resumption {
  readonly position: WatchPosition;
  /** Operations that ended after one place and up to another, in this order. */
  readonly ended: (behind: string, upTo: string) => AsyncIterable<OperationRecord>;
}

/**
 * What has not yet been sent to one watcher of many operations: every change of state, and the
 * latest progress.
 */
class Backlog {
  states: WatchedChange[] = [];
  readonly progress = new Map<string, OperationRecord>();
  changed = deferred();

  constructor(readonly matches: Matches) {}

  add(change: WatchedChange, stateChanged: boolean): void {
    const { record } = change;
    if (!this.matches(record)) return;
    if (stateChanged) {
      this.progress.delete(record.id);
      if (this.states.length <= MAX_BEHIND) this.states.push(change);
    } else {
      this.progress.set(record.id, record);
    }
    this.changed.resolve();
  }

  /** @param now the position of a watcher that has received everything */
  take(now: WatchPosition): WatchedChange[] {
    if (this.states.length > MAX_BEHIND)
      throw new HostlerError(
        'WATCHER_TOO_SLOW',
        `more than ${String(MAX_BEHIND)} changes of state are waiting for this watcher: watch again from the last cursor`,
      );
    const taken = [...this.states, ...[...this.progress.values()].map((record) => ({ record, position: now }))];
    this.states = [];
    this.progress.clear();
    this.changed = deferred();
    return taken;
  }
}

/**
 * Sends every change of every operation to the watchers of all operations, and numbers the changes,
 * so that a watch can resume where another one ended.
 */
export class OperationHub {
  readonly #backlogs = new Set<Backlog>();
  /** For each unfinished operation the number of its last change. */
  readonly #moved = new Map<string, number>();
  #position: WatchPosition;

  /**
   * @param intervalMs minimum time between two sends to one watcher
   * @param life of the daemon
   * @param standsMs time without a change after which a watcher is told its position
   */
  constructor(
    private readonly intervalMs: number,
    life: number,
    private readonly standsMs = STANDS_MS,
  ) {
    this.#position = { ended: endPlace(life, 0), life, moved: 0 };
  }

  /** The position of a watcher that has received everything until now. */
  get position(): WatchPosition {
    return this.#position;
  }

  readonly publish = (record: OperationRecord, stateChanged: boolean): void => {
    if (stateChanged) this.#count(record);
    for (const backlog of this.#backlogs) backlog.add({ record, position: this.#position }, stateChanged);
  };

  /**
   * First sends the given unfinished operations, then changes; ends only by the signal. A resumed
   * watch gets each operation whose state has changed since, once, in its current state: first
   * those that have ended, then the unfinished ones. While nothing matches, it sends its position
   * now and then, if that has advanced.
   */
  async *watch(
    unfinished: Iterable<OperationRecord>,
    matches: Matches,
    signal: AbortSignal,
    from?: Resumption,
  ): AsyncGenerator<WatchedStep, void> {
    const backlog = new Backlog(matches);
    const begin = this.#position;
    const now = this.#changedSince(unfinished, from?.position).filter(({ record }) => matches(record));
    this.#backlogs.add(backlog);
    const gone = aborted(signal);
    const wake = setInterval(() => backlog.changed.resolve(), this.standsMs);
    let told = now.at(-1)?.position;
    try {
      if (from !== undefined) yield* missed(from, begin.ended, matches);
      yield* now;
      for (;;) {
        await orAborted(backlog.changed.promise, signal);
        const position = this.#position;
        const taken = backlog.take(position);
        yield* taken;
        if (taken.length === 0 && !isSame(told, position)) yield { position };
        told = taken.at(-1)?.position ?? position;
        await pause(this.intervalMs, gone);
      }
    } finally {
      clearInterval(wake);
      this.#backlogs.delete(backlog);
    }
  }

  #count(record: OperationRecord): void {
    const { id, state, endPlace: ended } = record;
    if (isFinal(state)) {
      this.#moved.delete(id);
      if (ended !== undefined) this.#position = { ...this.#position, ended };
      return;
    }
    const moved = this.#position.moved + 1;
    this.#moved.set(id, moved);
    this.#position = { ...this.#position, moved };
  }

  /** In the order of their last changes. After a restart of the daemon all count as changed. */
  #changedSince(unfinished: Iterable<OperationRecord>, since: WatchPosition | undefined): WatchedChange[] {
    const known = since?.life === this.#position.life ? since.moved : 0;
    return [...unfinished]
      .map((record) => ({ record, position: { ...this.#position, moved: this.#moved.get(record.id) ?? 0 } }))
      .filter(({ position }) => position.moved > known)
      .sort((a, b) => a.position.moved - b.position.moved);
  }
}

function isSame(a: WatchPosition | undefined, b: WatchPosition): boolean {
  return a?.ended === b.ended && a.life === b.life && a.moved === b.moved;
}

async function* missed(
  { position, ended }: Resumption,
  upTo: string,
  matches: Matches,
): AsyncGenerator<WatchedChange, void> {
  for await (const record of ended(position.ended, upTo))
    if (matches(record)) yield { record, position: { ...position, ended: record.endPlace ?? position.ended } };
}

function aborted(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = deferred();
  if (signal.aborted) resolve();
  // Removed with the signal, which lives as long as the call.
  signal.addEventListener(
    'abort',
    () => {
      resolve();
    },
    { once: true },
  );
  return promise;
}
