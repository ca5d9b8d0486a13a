/**
 * Ends an operation in bounded time after its cancel and after its work, even if a filesystem does
 * not answer.
 */
import { orAborted, pause } from '../model/async.js';
import type { LiveOperation } from './live-operation.js';
import { storeError } from './record.js';
import type { Outcome } from './engine-ports.js';

/**
 * How an operation ended. If a cancelled one's work has not returned after the limit, the operation
 * ends anyway: its work becomes the outcome's `rest`, which removes its files as soon as it can. A
 * suspended operation is awaited without this limit: the drain has its own.
 * @param whole never rejects
 */
export async function orLetGo(whole: Promise<Outcome>, operation: LiveOperation, letGoMs: number): Promise<Outcome> {
  const ended: { outcome?: Outcome } = {};
  const done = whole.then((outcome) => {
    ended.outcome = outcome;
    return outcome.rest;
  });
  await orAborted(whole, operation.signal).catch(() => undefined); // the outcome has the reason
  if (ended.outcome === undefined) await pause(letGoMs, whole);
  const why = operation.cancelledFor;
  if (ended.outcome !== undefined || why === undefined || why.reason === 'SHUTTING_DOWN') return whole;
  warnOfRest(operation);
  return { state: 'CANCELLED', error: storeError(why), cause: why, rest: done };
}

/** The same for the steps after the end of the work. @param tidy never rejects */
export async function tidied(
  outcome: Outcome,
  tidy: Promise<void>,
  operation: LiveOperation,
  letGoMs: number,
): Promise<Outcome> {
  const ended = { tidy: false };
  const done = tidy.then(() => {
    ended.tidy = true;
  });
  await pause(letGoMs, done);
  if (ended.tidy) return outcome;
  warnOfRest(operation);
  return { ...outcome, rest: done };
}

function warnOfRest(operation: LiveOperation): void {
  const { id } = operation.record;
  const message = `a filesystem did not answer at the end of ${id}: what is left there is removed when it does`;
  operation.warn({ reason: 'CLEANUP_FAILED', message });
}
