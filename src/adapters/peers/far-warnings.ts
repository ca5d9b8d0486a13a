/** What a far agent has to say of an operation although it succeeded there. */
import { WARNINGS, type Warning } from '../../domain/operations/record.js';
import type { GetOperationResponse } from '../../gen/hostler/v1/operation_service.js';

/** As many as an operation has at most; of a message the beginning says enough. */
const [MOST, MOST_CHARACTERS] = [64, 2000];

/** Its warnings, as ours, with the host's name; one whose reason is not known here is left out. */
export function warningsOf(host: string, { operation }: GetOperationResponse): readonly Warning[] {
  return (operation?.warnings ?? []).slice(0, MOST).flatMap(({ reason, message }) => {
    const known = WARNINGS.find((each) => each === reason);
    return known === undefined ? [] : [{ reason: known, message: `${host}: ${message.slice(0, MOST_CHARACTERS)}` }];
  });
}

/** What is done is done, though nobody knows what it warned of. */
export function unheardWarnings(host: string, why: string): Warning {
  return { reason: 'AFTERWARDS_FAILED', message: `${host} does not say what the copy there warns of: ${why}` };
}
