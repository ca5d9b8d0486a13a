/**
 * The part of the composition root that tries again to determine the outcome of operations that
 * recovery could not decide.
 */
import { errorText, type Log } from '../adapters/telemetry/log.js';
import type { Operations } from '../domain/operations/engine.js';
import type { OperationRecord } from '../domain/operations/record.js';
import { decideOutcomes, type RecoveryPorts } from '../domain/operations/recovery/recovery.js';

const LOOK_AGAIN_MS = 2000;

/** Tries repeatedly until each is decided. */
export function decisions(
  undecided: readonly OperationRecord[],
  recovery: RecoveryPorts,
  { operations, log }: { readonly operations: Operations; readonly log: Log },
) {
  // Logged once, at the start.
  const withoutLog = { ...recovery, log: { ...recovery.log, undecided: () => undefined } };
  let left = undecided;
  const look = async () => {
    const { toResume, undecided: still } = await decideOutcomes(left, withoutLog);
    left = still;
    for (const record of toResume) await operations.restart(record);
  };
  const start = () => {
    if (left.length === 0) return;
    setTimeout(() => {
      // For example a journal whose disk fails now.
      const failed = (error: unknown) => log.error('an operation cannot be decided', { cause: errorText(error) });
      void look().catch(failed).then(start);
    }, LOOK_AGAIN_MS).unref();
  };
  return { start };
}
