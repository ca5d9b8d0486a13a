import { EXHAUSTED_RETRY_MS, exhaustion, type Exhaustion } from './exhausted.js';
import { type NamedElsewhere } from './reasons/reason-row.js';
import { REASONS, type Reason } from './reasons/reasons.js';

/** A wrong field of the request, by its proto path. */
export interface FieldViolation {
  readonly field: string;
  readonly description: string;
}

export interface ErrorFacts {
  /** Machine-readable facts: paths, sizes, holders, the tool's last line. Sent to the caller. */
  readonly facts?: Readonly<Record<string, string>>;
  readonly violations?: readonly FieldViolation[];
  /** The minimum wait before a retry; any number is accepted, and limited to a valid one. */
  readonly retryAfterMs?: number;
  /** For UNKNOWN_REASON. */
  readonly named?: NamedElsewhere;
  /** For the log only; never leaves the daemon. */
  readonly cause?: unknown;
}

/**
 * Every failure that a caller sees. The message is for people; programs read `reason` and `facts`.
 */
export class HostlerError extends Error {
  override readonly name = 'HostlerError';
  readonly facts: Readonly<Record<string, string>>;
  readonly violations: readonly FieldViolation[];
  /** Whole milliseconds, from 0 to a day. */
  readonly retryAfterMs: number | undefined;
  /**
   * The reason that callers see: that of another version of the daemon if this version does not
   * know it.
   */
  readonly shown: NamedElsewhere;

  constructor(
    readonly reason: Reason,
    message: string,
    details: ErrorFacts = {},
  ) {
    super(message.toWellFormed(), details.cause === undefined ? undefined : { cause: details.cause });
    this.facts = details.facts ?? {};
    this.violations = details.violations ?? [];
    this.retryAfterMs = waitMs(details.retryAfterMs);
    this.shown = details.named ?? { reason, code: REASONS[reason].code };
  }
}

/** No caller is asked to wait longer than a day. */
const MAX_WAIT_MS = 24 * 3600 * 1000;

function waitMs(ms: number | undefined): number | undefined {
  if (ms === undefined || Number.isNaN(ms)) return undefined;
  return Math.min(MAX_WAIT_MS, Math.max(0, Math.ceil(ms)));
}

/** All wrong fields of a request in one error. */
export function invalidFields(violations: readonly FieldViolation[]): HostlerError {
  const text = violations.map(({ field, description }) => `${field}: ${description}`).join('; ');
  return new HostlerError('INVALID_FIELD', text, { violations });
}

/** Something that the format, or the storage of the image, does not support. */
export function unsupported(message: string, facts: ErrorFacts['facts'] = {}): HostlerError {
  // eslint-disable-next-line no-restricted-syntax -- the one place
  return new HostlerError('UNSUPPORTED_BY_BACKEND', message, { facts });
}

/** A resource of the host, or the daemon's share of it, is used up for now. */
export function hostExhausted(
  { errno, why }: Exhaustion,
  cause: unknown,
  facts: ErrorFacts['facts'] = {},
): HostlerError {
  const details = { facts: { ...facts, errno }, retryAfterMs: EXHAUSTED_RETRY_MS, cause };
  return new HostlerError('HOST_EXHAUSTED', `${why} (${errno})`, details);
}

/**
 * Any thrown value as a HostlerError: an unexpected one is a BUG, with its cause kept for the log.
 */
export function asHostlerError(error: unknown): HostlerError {
  if (error instanceof HostlerError) return error;
  const exhausted = exhaustion(error);
  if (exhausted !== undefined) return hostExhausted(exhausted, error);
  return new HostlerError('BUG', 'internal error; see the log of the daemon', { cause: error });
}
