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
  promise.catch(() => undefined); // avoids unhandledRejection when the promise is no longer awaited
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
 * The items as they arrive; throws the signal's reason as soon as it is aborted, also while an item
 * is awaited.
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
    // A generator that awaits an item ends only when that item arrives, so this is not awaited.
    const left = rest.return?.();
    if (waits)
      left?.catch(() => undefined); // avoids unhandledRejection
    else await left;
  }
}

/** Waits for both, whatever happens to one of them; then throws the first one's failure first. */
export async function bothDone(first: Promise<void>, second: Promise<void>): Promise<void> {
  for (const done of await Promise.allSettled([first, second])) if (done.status === 'rejected') throw done.reason;
}

/**
 * Waits for this time; throws the signal's reason if it is aborted before. Leaves no timer behind.
 */
export async function sleepOrAborted(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await sleep(ms, undefined, { signal }).catch(() => {
    throw asHostlerError(signal.reason);
  });
}

/** Waits for this time, or until the promise settles; leaves no timer behind. */
export async function pause(ms: number, until: Promise<unknown>): Promise<void> {
  const timeUp = deferred();
  const timer = setTimeout(timeUp.resolve, ms);
  try {
    await Promise.race([timeUp.promise, until]);
  } finally {
    clearTimeout(timer);
  }
}

/** Callers that wait for a turn of the event loop; the first is next. */
const turns: (() => void)[] = [];

/**
 * Resolves in a separate turn of the event loop. Each waiting caller gets a different turn, so that
 * events are handled between two of them, however many there are: Node itself runs all pending
 * immediates, and all timers that are due, in one turn.
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
 * For work in small steps: gives other work a turn if this work has gone on for so long. More
 * frequent turns would cost time, too.
 */
export function turnsEvery(ms: number): () => Promise<void> {
  let last = performance.now();
  return async () => {
    if (performance.now() - last < ms) return;
    await breathe();
    last = performance.now();
  };
}

/**
 * Runs the steps one after the other; between two of them other work gets a turn. Fails with the
 * signal's reason.
 */
export async function inTurns(steps: Iterator<void, void>, signal?: AbortSignal): Promise<void> {
  while (steps.next().done !== true) {
    await breathe();
    signal?.throwIfAborted();
  }
}
