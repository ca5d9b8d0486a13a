import { deferred } from '../model/async.js';
import { HostlerError, asHostlerError } from '../model/errors.js';
import type { Outcome } from './engine-ports.js';
import { nowOrLater, type Journal } from './journal.js';
import type { LiveOperation } from './live-operation.js';
import { storeError, type OperationRecord } from './record.js';

/** Room for every safe integer, and for 10^14 ends in one life. */
const [LIFE_DIGITS, NUMBER_DIGITS] = [11, 9];

/**
 * A place in the order in which operations end: by the life of the daemon, then by the number
 * within it. Later places are greater as text.
 */
export function endPlace(life: number, number: number): string {
  return `${digits(life, LIFE_DIGITS)}${digits(number, NUMBER_DIGITS)}`;
}

/** The life of a place. */
export function lifeOf(place: string): number {
  return Number.parseInt(place.slice(0, LIFE_DIGITS), 36);
}

function digits(value: number, length: number): string {
  return value.toString(36).padStart(length, '0');
}

/**
 * Assigns places to ends. Ends are announced in this order, however long their journalling takes: a
 * watcher that has seen one has seen all before it.
 */
export class Ends {
  #number = 0;
  #announced: Promise<void> = Promise.resolve();

  constructor(private readonly life: number) {}

  /**
   * Records an end under its place, and announces it after all earlier ends. Fails as `record`;
   * then nothing is announced.
   */
  async inTurn(
    record: (place: string) => Promise<OperationRecord>,
    announce: (final: OperationRecord) => void,
  ): Promise<void> {
    const before = this.#announced;
    const { promise, resolve } = deferred();
    this.#announced = promise;
    try {
      const final = await record(endPlace(this.life, ++this.#number));
      await before;
      announce(final);
    } finally {
      await before;
      resolve();
    }
  }
}

/**
 * Writes the end of an operation as it will be reported: a success that nothing on disk would prove
 * after a crash must not be reported. Fails as the journal does, except with STATE_UNAVAILABLE,
 * which becomes the operation's own end.
 */
export async function recordEnd(
  journal: Journal,
  operation: LiveOperation,
  outcome: Omit<Outcome, 'cause' | 'suspended' | 'rest'>,
  place: string,
): Promise<OperationRecord> {
  const end = operation.ended({ ...outcome, endPlace: place });
  try {
    await journal.put(end);
    return end;
  } catch (caught) {
    const error = asHostlerError(caught);
    if (error.reason !== 'STATE_UNAVAILABLE') throw error;
    if (end.state !== 'SUCCEEDED' || end.commit !== undefined) return end;
    const failed = operation.ended({ state: 'FAILED', error: storeError(unproven(error, end)), endPlace: place });
    await nowOrLater(journal.put(failed));
    return failed;
  }
}

/** The work was done, but nothing would prove it after a crash. */
function unproven(error: HostlerError, { id, method }: OperationRecord): HostlerError {
  const message = `${method} did its work, and this could not be recorded: make the call again; ${error.message}`;
  const { retryAfterMs = 0 } = error;
  return new HostlerError('STATE_UNAVAILABLE', message, { facts: { operation: id }, retryAfterMs, cause: error });
}
