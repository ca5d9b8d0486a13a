import { HostlerError } from '../model/errors.js';
import { deferred, orAborted, pause } from '../model/async.js';
import type { OperationRecord } from './record.js';

/** Changes of state that a watcher may be behind; about 10 MB. */
const MAX_BEHIND = 10_000;

type Matches = (record: OperationRecord) => boolean;

/**
 * What one watcher of many operations has not been sent yet: every change of state, and the latest
 * progress.
 */
class Backlog {
  states: OperationRecord[] = [];
  readonly progress = new Map<string, OperationRecord>();
  changed = deferred();

  constructor(readonly matches: Matches) {}

  add(record: OperationRecord, stateChanged: boolean): void {
    if (!this.matches(record)) return;
    if (stateChanged) {
      this.progress.delete(record.id);
      if (this.states.length <= MAX_BEHIND) this.states.push(record);
    } else {
      this.progress.set(record.id, record);
    }
    this.changed.resolve();
  }

  take(): OperationRecord[] {
    if (this.states.length > MAX_BEHIND)
      throw new HostlerError(
        'WATCHER_TOO_SLOW',
        `more than ${String(MAX_BEHIND)} changes of state are waiting for this watcher`,
      );
    const taken = [...this.states, ...this.progress.values()];
    this.states = [];
    this.progress.clear();
    this.changed = deferred();
    return taken;
  }
}

/** Hands every change of every operation to those who watch them all. */
export class OperationHub {
  readonly #backlogs = new Set<Backlog>();

  /** @param intervalMs between two sendings to one watcher */
  constructor(private readonly intervalMs: number) {}

  readonly publish = (record: OperationRecord, stateChanged: boolean): void => {
    for (const backlog of this.#backlogs) backlog.add(record, stateChanged);
  };

  /** First the records given, then what happens; ends only by the signal. */
  async *watch(
    now: Iterable<OperationRecord>,
    matches: Matches,
    signal: AbortSignal,
  ): AsyncGenerator<OperationRecord, void> {
    const backlog = new Backlog(matches);
    for (const record of now) backlog.add(record, true);
    this.#backlogs.add(backlog);
    const gone = aborted(signal);
    try {
      for (;;) {
        await orAborted(backlog.changed.promise, signal);
        yield* backlog.take();
        await pause(this.intervalMs, gone);
      }
    } finally {
      this.#backlogs.delete(backlog);
    }
  }
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
