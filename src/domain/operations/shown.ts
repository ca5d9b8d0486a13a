import { hasLabels } from '../access/ownership.js';
import { BUILT_IN, type Role } from '../access/role.js';
import type { Caller } from '../access/caller.js';
import type { OperationLine } from '../ports/operation-lines.js';
import type { OperationRecord } from './record.js';

/**
 * Verbs that fetch from a source: its address, and the facts of the received image, are visible to
 * their callers only.
 */
const FETCHES = ['FetchImage', 'FetchRawImage', 'PrefetchImage', 'FillCache', 'FillBase'];
const HIDDEN = 'the result of a fetch is shown to its caller and to admins';

/**
 * An operation as shown to a caller who may see it. A checksum finds an image in the cache, and an
 * address may hold a signature: for a fetch, only its caller and admins see both; others see its
 * progress and the reason of a failure.
 */
export function shownTo(whole: OperationRecord, { identity, grant }: Viewer): OperationRecord {
  const { waiters } = whole;
  const record = waiters === undefined ? whole : { ...whole, ...labelsFor(waiters, grant.labels) };
  if (!isHidden(record, { identity, grant })) return record;
  const { result, error, warnings } = record;
  const hidden = { message: HIDDEN, facts: {}, violations: [] };
  return {
    ...record,
    warnings: warnings.map(({ reason }) => ({ reason, message: HIDDEN })),
    ...(result?.kind === 'fetch' ? { result: { ...result, checksum: '', cacheId: '' } } : {}),
    ...(error === undefined ? {} : { error: { ...error, ...hidden } }),
  };
}

type Viewer = Pick<Caller, 'identity' | 'grant'>;

function isHidden({ method, caller }: OperationRecord, { identity, grant }: Viewer): boolean {
  return FETCHES.includes(method) && caller !== identity && grant.name !== BUILT_IN.admin.name;
}

/**
 * The verb of configured commands: other callers do not see which tool it runs, or with which
 * arguments.
 */
const COMMAND = 'Execute';
/** Facts that name code and files of the daemon. */
const FOR_ADMINS = ['cause'];
/**
 * Facts that may name what the operation itself does not: layers below an image, hosts, the
 * daemon's files.
 */
const FOR_CALLERS = [...FOR_ADMINS, 'args', 'stderr'];

/** A line of an operation's log as shown to a caller who may see the operation. */
export function lineShownTo(line: OperationLine, record: OperationRecord, viewer: Viewer): OperationLine {
  if (viewer.grant.name === BUILT_IN.admin.name) return line;
  const own = record.caller === viewer.identity;
  if (!own && (isHidden(record, viewer) || record.method === COMMAND)) return { ...line, facts: {} };
  const hidden = own ? FOR_ADMINS : FOR_CALLERS;
  return { ...line, facts: Object.fromEntries(Object.entries(line.facts).filter(([name]) => !hidden.includes(name))) };
}

/**
 * The labels of all that share an operation, for a role that covers certain labels only: of a key
 * with several values the first.
 */
function labelsFor(
  all: readonly Role['labels'][],
  covered: Role['labels'],
): Required<Pick<OperationRecord, 'waiters' | 'labels'>> {
  const waiters = all.filter((labels) => hasLabels({ labels }, covered));
  return { waiters, labels: waiters.reduceRight((joined, labels) => ({ ...joined, ...labels }), {}) };
}
