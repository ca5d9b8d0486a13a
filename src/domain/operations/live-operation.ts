import { HostlerError, asHostlerError } from '../model/errors.js';
import type { Clock } from '../ports/images.js';
import { deferred, orAborted, pause } from '../model/async.js';
import {
  assertTransition,
  atRest,
  isFinal,
  type OperationPhase,
  type OperationRecord,
  type OperationState,
  type RetryWait,
  type Warning,
} from './record.js';

/** Limit of warnings of an operation; repeated warnings of a source or disk count once. */
const MOST_WARNINGS = 64;
/** Limit of label sets of a shared operation; each may have 8 KiB. */
const MOST_WAITERS = 32;
/** Phases whose counters start again: they do not continue those of the phase before. */
const MOVING: readonly OperationPhase[] = ['DOWNLOADING', 'EXPANDING', 'CONVERTING', 'COPYING'];
const NOTHING_YET = { doneBytes: 0n, skippedBytes: 0n };

function sameLabels(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const entries = Object.entries(a);
  return entries.length === Object.keys(b).length && entries.every(([key, value]) => b[key] === value);
}

type Change = Partial<Omit<OperationRecord, 'id' | 'method' | 'caller' | 'spec' | 'state'>>;
/**
 * How a call that waits for an operation ends: its caller leaves, or the daemon cannot send the
 * answer.
 */
export type Leaving = 'CANCELLED' | 'CALLER_DEADLINE' | 'unanswered';

/** A caller that leaves aborts the signal; otherwise the answer could not be sent. */
export function leavingBy(signal: AbortSignal): Leaving {
  if (!signal.aborted) return 'unanswered';
  return asHostlerError(signal.reason).reason === 'CALLER_DEADLINE' ? 'CALLER_DEADLINE' : 'CANCELLED';
}

export type RecordListener = (record: OperationRecord, stateChanged: boolean) => void;

/**
 * An unfinished operation: its latest record as a slot that watchers read, its callers, and its
 * cancel switch.
 */
export class LiveOperation {
  #record: OperationRecord;
  #version = 0;
  #changed = deferred();
  #announced = false;
  #callers = 0;
  #pendingCancel: HostlerError | undefined;
  /**
   * Why it is being cancelled: the last reason counts, but a caller's reason outweighs the daemon's
   * stop.
   */
  #why: HostlerError | undefined;
  /** Set when the next start of the daemon will resume it. */
  #suspension: HostlerError | undefined;
  #suspended: HostlerError | undefined;
  readonly #finished = deferred<OperationRecord>();
  readonly #abort = new AbortController();
  /** Paths that a cancel or failure removed, for the answer to CancelOperation. */
  readonly removedPaths: string[] = [];
  readonly endedPids: number[] = [];

  constructor(
    record: OperationRecord,
    private readonly clock: Clock,
    private readonly listener: RecordListener,
  ) {
    this.#record = record;
  }

  /** From now on listeners are notified; a request that was refused before was not an operation. */
  announce(): void {
    this.#announced = true;
    this.listener(this.#record, true);
  }

  get record(): OperationRecord {
    return this.#record;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Why it is being cancelled; undefined if it is not. */
  get cancelledFor(): HostlerError | undefined {
    return this.#why;
  }

  /**
   * Resolves when this daemon is finished with it: with the final record, or with the last record
   * of a suspended operation.
   */
  get finished(): Promise<OperationRecord> {
    return this.#finished.promise;
  }

  /**
   * Its final record. Fails with SHUTTING_DOWN if the daemon stops and the next start resumes the
   * operation.
   */
  async ending(): Promise<OperationRecord> {
    const record = await this.#finished.promise;
    if (this.#suspended !== undefined) throw this.#suspended;
    return record;
  }

  /** No effect on a finished operation: it may have been released, or its work may be resumed. */
  update(change: Change): void {
    if (isFinal(this.#record.state)) return;
    this.#set({ ...this.#record, ...change, eventTime: this.clock() }, false);
  }

  /** A repeated warning is not added; beyond the limit the oldest are dropped. */
  warn({ reason, message }: Warning): void {
    const { warnings } = this.#record;
    if (warnings.some((earlier) => earlier.reason === reason && earlier.message === message)) return;
    this.update({ warnings: [...warnings, { reason, message }].slice(-MOST_WARNINGS) });
  }

  /** Records the wait before the next attempt. */
  retry(waiting: RetryWait | undefined): void {
    if (waiting !== this.#record.retry) this.update({ retry: waiting });
  }

  /** Adds the labels of another operation that shares this one. */
  shareWith(labels: Readonly<Record<string, string>>): void {
    const { waiters = [] } = this.#record;
    const isKnown = waiters.some((each) => sameLabels(each, labels));
    if (!isKnown && waiters.length < MOST_WAITERS) this.update({ waiters: [...waiters, labels] });
  }

  become(state: OperationState, change: Change = {}): void {
    assertTransition(this.#record.state, state);
    this.#set({ ...this.#record, ...change, state, eventTime: this.clock() }, true);
  }

  /** The final record, not yet announced: it is written to the journal first. */
  ended({ state, ...rest }: Change & { readonly state: OperationState }): OperationRecord {
    assertTransition(this.#record.state, state);
    return { ...atRest(this.#record, this.clock()), ...rest, state };
  }

  /** Announces the end. */
  finish(final: OperationRecord): void {
    this.#set(final, true);
    this.#finished.resolve(final);
  }

  /**
   * The daemon stops and its next start resumes the operation: from now on a cancel is refused,
   * because it would be lost.
   */
  decideToSuspend(): void {
    const { id } = this.#record;
    const text = `the daemon is stopping; ${id} resumes when it starts again, and can be cancelled then`;
    this.#suspension = new HostlerError('SHUTTING_DOWN', text, { facts: { operation: id } });
  }

  /**
   * This daemon is finished with an operation that the next start resumes: watchers get an error,
   * and the operation has no end yet.
   */
  suspend(): void {
    if (this.#suspension === undefined) this.decideToSuspend();
    this.#suspended = this.#suspension;
    this.#changed.resolve();
    this.#finished.resolve(this.#record);
  }

  /**
   * The progress of a phase that moves data begins at 0. A phase that must not be interrupted
   * delays a cancel until the next phase that can be.
   */
  enter(phase: OperationPhase, cancellable: boolean): void {
    const anew = MOVING.includes(phase) && this.#record.phase !== phase;
    this.update({ phase, cancellable, ...(anew ? { progress: NOTHING_YET } : {}) });
    if (cancellable && this.#pendingCancel !== undefined) this.#cancel(this.#pendingCancel);
  }

  /**
   * A caller waits for the result. Returns a function to call when its call ends. When the last
   * caller leaves, the operation is cancelled, unless one caller detached. A caller whose answer
   * could not be sent has not left: the operation continues, and the caller can ask for it later. A
   * new caller withdraws a cancel that the last one caused and that has not begun yet.
   */
  join(detach: boolean): (why: Leaving) => void {
    this.#callers += 1;
    this.#pendingCancel = undefined;
    if (detach && !this.#record.detached) this.update({ detached: true });
    let left = false;
    return (why) => {
      if (left) return;
      left = true;
      this.#callers -= 1;
      if (why === 'unanswered') {
        this.#continueUnanswered();
        return;
      }
      if (this.#callers > 0 || this.#record.detached || isFinal(this.#record.state)) return;
      const reason = new HostlerError(
        why,
        why === 'CALLER_DEADLINE' ? "the caller's deadline passed" : 'the last caller left',
      );
      if (this.#record.cancellable) this.#cancel(reason);
      else this.#pendingCancel = reason;
    };
  }

  #continueUnanswered(): void {
    if (isFinal(this.#record.state) || this.#suspended !== undefined) return;
    const message = 'an answer to its caller could not be sent; see the log of the daemon';
    this.update({ detached: true });
    this.warn({ reason: 'ANSWER_LOST', message });
  }

  /**
   * Requests the end of the work; `finished` resolves when it has ended. An operation that ends
   * because the daemon stops becomes cancelled. Fails with NOT_CANCELLABLE, and with SHUTTING_DOWN
   * if it is too late for that.
   */
  cancel(reason: HostlerError): void {
    if (this.#suspension !== undefined) throw this.#suspension;
    if (isFinal(this.#record.state)) return;
    if (this.#record.state === 'CANCELLING') {
      if (this.#why?.reason === 'SHUTTING_DOWN') this.#why = reason;
      return;
    }
    if (!this.#record.cancellable) {
      const phase = this.#record.phase ?? 'unknown';
      throw new HostlerError(
        'NOT_CANCELLABLE',
        `${this.#record.id} is in phase ${phase}, which must not be interrupted`,
        {
          facts: { operation: this.#record.id, phase },
        },
      );
    }
    this.#cancel(reason);
  }

  /**
   * The latest record at once, then the latest after each change, at a limited rate; the final one
   * always.
   */
  async *watch(signal: AbortSignal, intervalMs: number): AsyncGenerator<OperationRecord, void> {
    for (let seen = -1; ;) {
      if (this.#suspended !== undefined) throw this.#suspended;
      if (this.#version === seen) {
        await orAborted(this.#changed.promise, signal);
        continue;
      }
      seen = this.#version;
      const record = this.#record;
      yield record;
      if (isFinal(record.state)) return;
      await orAborted(pause(intervalMs, this.finished), signal);
    }
  }

  #cancel(reason: HostlerError): void {
    if (isFinal(this.#record.state) || this.#record.state === 'CANCELLING') return;
    this.become('CANCELLING');
    this.#why = reason;
    this.#abort.abort(reason);
  }

  #set(record: OperationRecord, stateChanged: boolean): void {
    this.#record = record;
    this.#version += 1;
    const wake = this.#changed;
    this.#changed = deferred();
    wake.resolve();
    if (this.#announced) this.listener(record, stateChanged);
  }
}
