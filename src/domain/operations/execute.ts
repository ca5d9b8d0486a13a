import { asHostlerError } from '../model/errors.js';
import { nowOrLater } from './journal.js';
import { tidied } from './letting-go.js';
import { storeError } from './record.js';
import type { OperationResult } from './results.js';
import { ResumableWork, resumesAfterRestart } from './recovery/resumable-work.js';
import type { Verb } from './verb.js';
import type { EnginePorts, Outcome } from './engine-ports.js';
import type { Reason } from '../model/reasons/reasons.js';
import { OperationRun, type Assignment } from './operation-run.js';

/** Waits for the slot, runs the verb, cleans up. Never rejects. */
export async function execute<S extends object, R extends OperationResult>(
  verb: Verb<S, R>,
  spec: S,
  assignment: Assignment,
  ports: EnginePorts,
): Promise<Outcome> {
  const work = new ResumableWork(verb.resume, spec, () => assignment.operation.record, ports.resumes);
  const run = new OperationRun(verb.name, assignment, ports, work);
  const outcome = await attempt(verb, spec, run, assignment, ports);
  const failed = (error: unknown) => ports.log.cleanupFailed(assignment.operation.record, error);
  const tidy = async () => {
    if (outcome.state === 'SUCCEEDED') await run.clearMarks();
    else await run.marks.clearUnwritten(outcome.error?.reason).catch(failed);
    await run.cleanUp(outcome.suspended === true || isWorthKeeping(outcome, verb.resume?.after));
    await run.mark('cleaned');
  };
  return tidied(outcome, tidy(), assignment.operation, ports.letGoMs);
}

/** Failures of resumable work that are caused by the daemon's end or by its state folder. */
const NO_FAULT_OF_ITS_OWN: readonly Reason[] = ['SHUTTING_DOWN', 'AGENT_RESTARTED', 'STATE_UNAVAILABLE'];

function isWorthKeeping({ error }: Outcome, after: readonly Reason[] | undefined): boolean {
  return (
    after !== undefined &&
    error !== undefined &&
    [...NO_FAULT_OF_ITS_OWN, ...after].some((reason) => reason === error.reason)
  );
}

async function attempt<S extends object, R extends OperationResult>(
  verb: Verb<S, R>,
  spec: S,
  run: OperationRun,
  { operation, ticket, admitted }: Assignment,
  ports: EnginePorts,
): Promise<Outcome> {
  try {
    await run.step('admitted');
    await ticket.granted(operation.signal);
    operation.become('RUNNING', { startTime: ports.clock(), queuePosition: undefined });
    // Not awaited, and no write of its own: until the commit, recovery treats QUEUED and RUNNING
    // alike.
    nowOrLater(ports.journal.putSoon(operation.record)).catch((error: unknown) =>
      ports.log.cleanupFailed(operation.record, error),
    );
    await run.step('started');
    const result = await verb.run(spec, run);
    if (run.passed === undefined) ports.rawDisks.changed(admitted.files, result);
    await run.assertFreeToTheEnd();
    return { state: 'SUCCEEDED', result };
  } catch (cause) {
    if (run.passed !== undefined) {
      run.warnAfterwards(cause);
      return { state: 'SUCCEEDED', result: run.passed, cause };
    }
    // A cancelled operation ends as cancelled, whatever the tool reported when it was ended.
    if (operation.signal.aborted) {
      const error = operation.cancelledFor ?? asHostlerError(operation.signal.reason);
      const suspended =
        error.reason === 'SHUTTING_DOWN' && resumesAfterRestart(verb.resume, spec, operation.record.detached);
      if (suspended) operation.decideToSuspend();
      return { state: 'CANCELLED', error: storeError(error), cause, ...(suspended ? { suspended } : {}) };
    }
    return { state: 'FAILED', error: storeError(asHostlerError(cause)), cause };
  }
}
