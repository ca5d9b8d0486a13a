/**
 * Failures that another version of the daemon has named: in a record that it wrote, or as the agent
 * of another host.
 */
import { HostlerError, type ErrorFacts } from '../errors.js';
import { codeNamed } from './reason-row.js';
import { isReason } from './reasons.js';

/** The form of a reason in ErrorInfo, which all reasons here have. */
const REASON_WORD = /^[A-Z][A-Z0-9_]{0,61}[A-Z0-9]$/;

/** Whether a word can be a reason of any version. */
export function isReasonWord(word: string): boolean {
  return REASON_WORD.test(word);
}

/**
 * The failure in a record of another version, or of another agent: with the reason of this version
 * if it has the word, otherwise as it was named there. A text that cannot be a reason becomes
 * UNKNOWN_REASON.
 */
export function namedError(
  { reason, code }: { readonly reason: string; readonly code: string | undefined },
  message: string,
  facts: ErrorFacts,
): HostlerError {
  if (isReason(reason)) return new HostlerError(reason, message, facts);
  if (!isReasonWord(reason)) return new HostlerError('UNKNOWN_REASON', message, facts);
  return new HostlerError('UNKNOWN_REASON', message, { ...facts, named: { reason, code: codeNamed(code) } });
}
