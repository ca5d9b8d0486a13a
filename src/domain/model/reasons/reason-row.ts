/** A row of the table of reasons: its gRPC code by name, whether to retry, and two sentences. */
export const CODES = [
  'INVALID_ARGUMENT',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'UNAUTHENTICATED',
  'FAILED_PRECONDITION',
  'RESOURCE_EXHAUSTED',
  'ABORTED',
  'CANCELLED',
  'DEADLINE_EXCEEDED',
  'DATA_LOSS',
  'UNAVAILABLE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNKNOWN',
] as const;
export type Code = (typeof CODES)[number];

/**
 * Whether the same call can succeed later: never, after the caller changed something, or by
 * waiting.
 */
export type Retry = 'no' | 'after a change' | 'later';

export interface ReasonRow {
  readonly code: Code;
  readonly retry: Retry;
  readonly meaning: string;
  readonly advice: string;
}

/** A row of the table of reasons; `meaning` and `advice` become docs/errors.md. */
export const row = (code: Code, retry: Retry, meaning: string, advice: string): ReasonRow => ({
  code,
  retry,
  meaning,
  advice,
});

/** The code with this name; UNKNOWN if there is none. */
export function codeNamed(word: string | undefined): Code {
  return CODES.find((code) => code === word) ?? 'UNKNOWN';
}

/** A reason that only another version of the daemon knows, with the code that it gave. */
export interface NamedElsewhere {
  readonly reason: string;
  readonly code: Code;
}
