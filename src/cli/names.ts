import { OperationPhase, OperationState } from '../gen/hostler/v1/operation.js';

/** A newer daemon may send numbers that this client has no name for. */
type Names = Readonly<Record<number, string | undefined>>;
const STATES: Names = OperationState;
const PHASES: Names = OperationPhase;

/** `running`. */
export function stateName(state: OperationState): string {
  return STATES[state]?.replace('OPERATION_STATE_', '').toLowerCase() ?? String(state);
}

/** `converting`; before there is a phase, `queued`. */
export function phaseName(phase: OperationPhase): string {
  if (phase === OperationPhase.OPERATION_PHASE_UNSPECIFIED) return 'queued';
  return PHASES[phase]?.replace('OPERATION_PHASE_', '').toLowerCase() ?? String(phase);
}
