/** Warnings of an operation that succeeded on a peer. */
import { WARNINGS, type Warning } from '../../domain/operations/record.js';
import type { GetOperationResponse } from '../../gen/hostler/v1/operation_service.js';

/** An operation has at most this many warnings; a longer message is truncated. */
const [MOST, MOST_CHARACTERS] = [64, 2000];

/** The peer's warnings with its host name; a warning with an unknown reason is left out. */
export function warningsOf(host: string, { operation }: GetOperationResponse): readonly Warning[] {
  return (operation?.warnings ?? []).slice(0, MOST).flatMap(({ reason, message }) => {
    const known = WARNINGS.find((each) => each === reason);
    return known === undefined ? [] : [{ reason: known, message: `${host}: ${message.slice(0, MOST_CHARACTERS)}` }];
  });
}

/** The operation succeeded, but its warnings could not be read. */
export function unheardWarnings(host: string, why: string): Warning {
  return { reason: 'AFTERWARDS_FAILED', message: `${host} does not say what the copy there warns of: ${why}` };
}
