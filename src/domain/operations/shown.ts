import { BUILT_IN } from '../access/role.js';
import type { Caller } from '../access/caller.js';
import type { OperationRecord } from './record.js';

/** The verbs that take from a source: its address, and what came, are their callers' secret. */
const FETCHES = ['FetchImage', 'FetchRawImage', 'PrefetchImage', 'FillCache', 'FillBase'];
const HIDDEN = 'the result of a fetch is shown to its caller and to admins';

/**
 * An operation as a caller sees it who may see it. A checksum finds an image in the cache, and an
 * address may hold a signature: of a fetch, its caller and admins see both; others see its progress
 * and the reason of a failure.
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
