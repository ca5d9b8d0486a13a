import { STEPS } from '../../domain/operations/steps.js';

/** Errors that a failpoint can throw. */
export const ERRORS = ['IO_ERROR', 'NO_SPACE', 'ACCESS_DENIED'] as const;

const ACTIONS = ['kill', 'pause', 'throw', ...ERRORS];

/** `METHOD:STEP:ACTION`; see docs/failpoints.md. */
export const FAILPOINT = new RegExp(`^[A-Za-z*]+:(?:${Object.keys(STEPS).join('|')}):(?:${ACTIONS.join('|')})$`);
