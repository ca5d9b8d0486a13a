import type { Caller } from '../access/caller.js';
import { HostlerError, asHostlerError } from '../model/errors.js';
import { deferred, orAborted, type Deferred } from '../model/async.js';
import type { OperationRecord } from './record.js';

/** An open session's operation, or the record of one that has succeeded. */
export type Stood<T> =
  { readonly id: string; readonly item: T } | { readonly id: string; readonly ended: OperationRecord };

/** Sessions of operations that callers come back to, by the operation's id: uploads, exports. */
export class OpenSessions<T> {
  readonly #open = new Map<string, T>();
  readonly #awaited = new Map<string, Set<Deferred<T>>>();

  get(id: string): T | undefined {
    return this.#open.get(id);
  }

  get all(): readonly (readonly [string, T])[] {
    return [...this.#open];
  }

  /** For the verb: callers can find the item until `until` settles. */
  async keep<R>(id: string, item: T, until: () => Promise<R>): Promise<R> {
    this.#open.set(id, item);
    for (const { resolve } of this.#awaited.get(id) ?? []) resolve(item);
    try {
      return await until();
    } finally {
      this.#open.delete(id);
    }
  }

  /**
   * Starts the operation and waits until its session is registered; then the operation continues
   * without the caller. Returns the record instead if the operation has already succeeded. Rejects
   * with the operation's error if it ends first.
   */
  async start(begin: (caller: Caller) => AsyncGenerator<OperationRecord, void>, caller: Caller): Promise<Stood<T>> {
    const enough = new AbortController();
    const signal = AbortSignal.any([caller.signal, enough.signal]);
    const records: AsyncIterator<OperationRecord, void> = begin({ ...caller, signal })[Symbol.asyncIterator]();
    const first = await records.next();
    if (first.done === true) throw new HostlerError('BUG', 'an operation has no record');
    const { id } = first.value;
    try {
      let last = first.value;
      const ended = toTheEnd(records, (record) => (last = record));
      const item = await this.opened(id, ended, signal);
      return item === undefined ? { id, ended: last } : { id, item };
    } finally {
      enough.abort(new HostlerError('CANCELLED', 'the operation continues without its caller'));
    }
  }

  /**
   * The session of an operation, as soon as it is registered; undefined if the operation ended
   * before.
   */
  async opened(id: string, ended: Promise<unknown>, signal: AbortSignal): Promise<T | undefined> {
    const none = ended.then(() => undefined);
    none.catch(() => undefined); // avoids unhandledRejection; thrown below if a caller waits
    const now = this.#open.get(id);
    if (now !== undefined) return now;
    signal.throwIfAborted();
    const later = deferred<T>();
    const awaited = this.#awaited.get(id) ?? new Set();
    this.#awaited.set(id, awaited.add(later));
    try {
      return await orAborted(Promise.race([later.promise, none]), signal);
    } finally {
      awaited.delete(later);
      if (awaited.size === 0) this.#awaited.delete(id);
    }
  }
}

/** Throws the error that the operation ends with. */
async function toTheEnd(
  records: AsyncIterator<OperationRecord, void>,
  hear: (record: OperationRecord) => void,
): Promise<void> {
  for (let next = await records.next(); next.done !== true; next = await records.next()) hear(next.value);
}

/**
 * Waits until `done`, or until no caller was connected for the given time. Fails with EXPIRED, and
 * with the signal's reason.
 */
export async function untilIdle<R>(
  done: Promise<R>,
  expiresAt: () => number,
  clock: () => number,
  signal: AbortSignal,
  what: string,
): Promise<R> {
  const stop = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const look = () => {
    const left = expiresAt() - clock();
    if (left <= 0) stop.abort(new HostlerError('EXPIRED', `${what} was closed: its time is over`));
    else timer = setTimeout(look, Math.min(left, MAX_TIMER_MS));
  };
  look();
  try {
    return await orAborted(done, AbortSignal.any([signal, stop.signal]));
  } catch (error) {
    throw asHostlerError(error);
  } finally {
    clearTimeout(timer);
  }
}

/** The maximum of setTimeout. */
const MAX_TIMER_MS = 2 ** 31 - 1;
