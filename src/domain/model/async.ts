import { setTimeout as sleep } from 'node:timers/promises';
import { asHostlerError } from './errors.js';

export interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
}

/** A promise with its resolver outside (Promise.withResolvers needs Node 22). */
export function deferred<T = void>(): Deferred<T> {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/** The promise's value, or the signal's reason thrown, whichever comes first. */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  promise.catch(() => undefined); // avoids unhandledRejection when nobody waits any more
  signal.throwIfAborted();
  let onAbort: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => {
      reject(asHostlerError(signal.reason));
    };
  });
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/**
 * The items as they come; the signal's reason thrown when that comes first, also where the next
 * item never comes.
 */
export async function* untilAborted<T>(items: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T, void> {
  const rest: AsyncIterator<T> = items[Symbol.asyncIterator]();
  let waits = false;
  try {
    for (;;) {
      waits = true;
      const next = await orAborted(rest.next(), signal);
      waits = false;
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    // One that waits for an item hears of this only when that comes: nobody waits with it.
    const left = rest.return?.();
    if (waits)
      left?.catch(() => undefined); // avoids unhandledRejection
    else await left;
  }
}

/** Waits for so long; throws the signal's reason when that comes first. Leaves no timer behind. */
export async function sleepOrAborted(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await sleep(ms, undefined, { signal }).catch(() => {
    throw asHostlerError(signal.reason);
  });
}

/** Waits for so long, or until the promise settles; leaves no timer behind. */
export async function pause(ms: number, until: Promise<unknown>): Promise<void> {
  const timer = new AbortController();
  const timeUp = sleep(ms, undefined, { signal: timer.signal }).catch(() => undefined); // aborted: the other side won
  try {
    await Promise.race([timeUp, until]);
  } finally {
    timer.abort();
  }
}

/** Those who wait for a turn of the event loop; the first is next. */
const turns: (() => void)[] = [];

/**
 * Resolved in a turn of the event loop of its own. Of all who wait each has another one, so that
 * what comes in is heard between two of them, however many there are: Node itself calls all that
 * wait for an immediate, or whose time is up, in one turn.
 */
export function breathe(): Promise<void> {
  return new Promise((resolve) => {
    turns.push(resolve);
    if (turns.length === 1) setImmediate(nextTurn);
  });
}

function nextTurn(): void {
  turns.shift()?.();
  if (turns.length > 0) setImmediate(nextTurn);
}

/**
 * Does the steps one after the other; between two of them others have their turn. Fails with the
 * signal's reason.
 */
export async function inTurns(steps: Iterator<void, void>, signal?: AbortSignal): Promise<void> {
  while (steps.next().done !== true) {
    await breathe();
    signal?.throwIfAborted();
  }
}
