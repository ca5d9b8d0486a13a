import type { Message, Stranger } from './stranger.js';
import { until } from './until.js';

const OPEN = ['QUEUED', 'RUNNING', 'CANCELLING'];

/** How many operations of a daemon are in one of the states. */
export async function countOf(stranger: Stranger, states: readonly string[]): Promise<number> {
  const { operations = [] } = (await stranger.unary('OperationService/ListOperations', {
    filter: { states: states.map((state) => `OPERATION_STATE_${state}`) },
    page_size: 1000,
  })) as { operations?: Message[] };
  return operations.length;
}

/**
 * Waits until so many operations run. Calls that were made before on the same connection have
 * arrived by then.
 */
export function runningAre(stranger: Stranger, count: number): Promise<void> {
  return until(async () => (await countOf(stranger, ['RUNNING'])) === count);
}

/** Waits until no operation waits, runs, or is being cancelled. */
export function allOver(stranger: Stranger): Promise<void> {
  return until(async () => (await countOf(stranger, OPEN)) === 0);
}
