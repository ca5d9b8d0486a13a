import { BUILT_IN } from '../access/role.js';
import type { Caller } from '../access/caller.js';
import type { OperationRecord } from './record.js';

/** The verbs that take from a source: its address, and what came, are their callers' secret. */
const FETCHES = ['FetchImage', 'FetchRawImage', 'PrefetchImage', 'FillCache', 'FillBase'];
const HIDDEN = 'what came of a fetch is for its caller and for admins';

/**
 * An operation as somebody sees it who may. With a checksum an image is found in the cache, and an
 * address may hold a signature: of a fetch its caller sees both, and admins do; others see how it
 * goes, and the reason of a failure.
 */
export function shownTo(
  record: OperationRecord,
  { identity, grant }: Pick<Caller, 'identity' | 'grant'>,
): OperationRecord {
  if (!FETCHES.includes(record.method) || record.caller === identity || grant.name === BUILT_IN.admin.name)
    return record;
  const { result, error, warnings } = record;
  const hidden = { message: HIDDEN, facts: {}, violations: [] };
  return {
    ...record,
    warnings: warnings.map(({ reason }) => ({ reason, message: HIDDEN })),
    ...(result?.kind === 'fetch' ? { result: { ...result, checksum: '', cacheId: '' } } : {}),
    ...(error === undefined ? {} : { error: { ...error, ...hidden } }),
  };
}
