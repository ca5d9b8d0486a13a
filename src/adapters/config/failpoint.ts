/** What a failpoint can throw. */
export const ERRORS = ['IO_ERROR', 'NO_SPACE', 'ACCESS_DENIED'] as const;

/** `METHOD:STEP:ACTION`; see docs/reference/failpoints.md. */
export const FAILPOINT = new RegExp(`^[A-Za-z*]+:[a-z]+:(?:kill|pause|throw|${ERRORS.join('|')})$`);
