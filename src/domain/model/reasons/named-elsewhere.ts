/**
 * Failures that another version of the daemon has named: in a record that it wrote, or as the agent
 * at the far end.
 */
import { HostlerError, type ErrorFacts } from '../errors.js';
import { codeNamed } from './reason-row.js';
import { isReason } from './reasons.js';

/** What ErrorInfo takes as a reason, and what all of ours are. */
const REASON_WORD = /^[A-Z][A-Z0-9_]{0,61}[A-Z0-9]$/;

/** Whether a word can be a reason of any version. */
export function isReasonWord(word: string): boolean {
  return REASON_WORD.test(word);
}

/**
 * The failure that a record of another version, or another agent, tells of: with our reason where
 * we know the word, and as it was named there otherwise. A word that can be no reason at all is
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
