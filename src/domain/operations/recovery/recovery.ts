import { HostlerError, asHostlerError } from '../../model/errors.js';
import type { Clock } from '../../ports/images.js';
import { sameFile } from '../../images/read-image.js';
import { tookEffect } from './evidence.js';
import type { Journal } from '../journal.js';
import { atRest, storeError, type Commit, type OperationRecord } from '../record.js';
import type { ResumeEntries, ResumeEntry } from './resume-entries.js';
import { foldersOf } from './resumable-work.js';
import type { ResolvedTarget, Targets } from '../../ports/targets.js';
import type { OrphanTools } from '../../ports/tools.js';
import type { Paths } from '../../ports/paths.js';
import type { Trees } from '../../ports/trees.js';

/**
 * How long, in ms, the filesystem of an undecided operation may be mounted; after that the
 * operation has failed.
 */
const UNDECIDED_MS = 24 * 3_600_000;

export interface Recovered {
  /** Operations that resume by themselves. */
  readonly toResume: readonly OperationRecord[];
  /** Operations whose outcome cannot be determined yet: see `settleAll`. */
  readonly undecided: readonly OperationRecord[];
}

export interface RecoveryLog {
  undecided(record: OperationRecord, cause: unknown): void;
  recovered(record: OperationRecord, removed: readonly string[]): void;
  failed(record: OperationRecord, cause: unknown): void;
}

export interface RecoveryPorts {
  readonly journal: Pick<Journal, 'unfinished'>;
  /** Records and announces an end. */
  readonly end: (record: OperationRecord) => Promise<void>;
  readonly paths: Paths;
  readonly targets: Targets;
  readonly trees: Pick<Trees, 'removeName'>;
  readonly orphans: OrphanTools;
  readonly clock: Clock;
  readonly resumes: ResumeEntries;
  /** Whether an operation continues without its caller. */
  readonly resumesAfterRestart: (record: OperationRecord) => boolean;
  readonly log: RecoveryLog;
}

/**
 * Finishes what an earlier daemon left: ends its child processes, removes its private folders or
 * keeps them as resume entries, and ends each operation. An operation whose result already had its
 * name becomes SUCCEEDED; all others fail with AGENT_RESTARTED, except those that resume by
 * themselves, and those that may have changed a name in a folder that is not mounted now: those
 * stay unfinished.
 */
export async function recover(ports: RecoveryPorts): Promise<Recovered> {
  return decideOutcomes(await ports.journal.unfinished(), ports);
}

/** Tries again to determine the outcome of undecided operations. */
export async function decideOutcomes(records: readonly OperationRecord[], ports: RecoveryPorts): Promise<Recovered> {
  const toResume: OperationRecord[] = [];
  const undecided: OperationRecord[] = [];
  for (const record of records) {
    try {
      if ((await decideOutcome(record, ports)) === 'resumes') toResume.push(record);
    } catch (error) {
      // For example, a root that is not mounted now.
      if (mayBeDecidedLater(record, ports.clock())) {
        ports.log.undecided(record, error);
        undecided.push(record);
        continue;
      }
      // The sweep, or the next start, removes it. The operation has ended anyway.
      ports.log.failed(record, error);
      await ports.end(ended(record, undefined, ports.clock()));
    }
  }
  return { toResume, undecided };
}

/**
 * An operation that had begun to change a name may have succeeded: the filesystem that would show
 * it is not mounted now, but may be later.
 */
function mayBeDecidedLater({ commit, eventTime }: OperationRecord, now: number): boolean {
  return commit !== undefined && now - eventTime < UNDECIDED_MS;
}

async function decideOutcome(record: OperationRecord, ports: RecoveryPorts): Promise<'resumes' | 'ended'> {
  const { orphans, clock, log, resumes } = ports;
  if (record.pid !== undefined && record.pidStart !== undefined)
    await orphans.end({ pid: record.pid, start: record.pidStart });
  const removed: string[] = [];
  const entry = resumes.of(record.id);
  let passed: Commit | undefined;
  for (const address of record.addresses) {
    const target = await findTarget(address, ports);
    if (target === undefined) {
      if (record.commit?.address === address) throw elsewhere(address);
      continue;
    }
    try {
      if (record.commit?.address === address) assertSameFolder(record.commit, target);
      if (record.commit?.address === address && tookEffect(record.commit, target.existing)) passed = record.commit;
      if (passed === undefined && entry?.address === address) await keep(entry, target, ports);
      else removed.push(...(await ports.targets.clean(target, record.id)));
    } finally {
      await target.directory.close();
    }
  }
  if (passed !== undefined) removed.push(...(await dropOldName(record, passed, ports)));
  if (passed !== undefined && entry !== undefined) await resumes.remove(entry);
  if (passed === undefined && ports.resumesAfterRestart(record)) return 'resumes';
  const final = ended(record, passed, clock());
  await ports.end(final);
  log.recovered(final, removed);
  return 'ended';
}

/**
 * On a filesystem without a rename that never replaces, a file gets its new name before it loses
 * the old one, so a crash can leave both. Returns the removed name.
 */
async function dropOldName(
  { addresses }: OperationRecord,
  { address, made, result }: Commit,
  ports: RecoveryPorts,
): Promise<readonly string[]> {
  const removed: string[] = [];
  if (result.kind !== 'move' || made === undefined) return removed;
  for (const old of addresses.filter((each) => each !== address)) {
    const place = await findTarget(old, ports);
    if (place === undefined) continue;
    try {
      if (place.existing === undefined || !sameFile(place.existing, made)) continue;
      await ports.trees.removeName(place);
      removed.push(old);
    } finally {
      await place.directory.close();
    }
  }
  return removed;
}

/** In another folder, as under a mount point without its mount, the name proves nothing. */
function assertSameFolder({ address, folder, made }: Commit, { directoryIdentity, existing }: ResolvedTarget): void {
  if (folder === undefined || sameFile(folder, directoryIdentity)) return;
  if (made !== undefined && existing !== undefined && sameFile(made, existing)) return;
  throw elsewhere(address);
}

function elsewhere(address: string): HostlerError {
  return new HostlerError('ROOT_UNAVAILABLE', `the folder in which ${address} got its name is not there now`, {
    facts: { path: address },
  });
}

/** Keeps the data for the next request for the same work. */
async function keep(entry: ResumeEntry, target: ResolvedTarget, { targets, resumes }: RecoveryPorts): Promise<void> {
  for (const id of foldersOf(entry)) {
    const bytes = await targets.takenBytes(target, id);
    if (bytes !== undefined) return resumes.keep(entry, bytes);
  }
  await resumes.remove(entry);
}

/** Undefined if nothing of an operation can exist: its folder is gone, or is read-only. */
async function findTarget(
  address: OperationRecord['addresses'][number],
  { paths }: RecoveryPorts,
): Promise<ResolvedTarget | undefined> {
  try {
    return await paths.target(address);
  } catch (error) {
    if (
      ['ROOT_READ_ONLY', 'PARENT_NOT_FOUND', 'PATH_OUTSIDE_ROOTS', 'NOT_A_FILE', 'POOL_NOT_FOUND'].includes(
        asHostlerError(error).reason,
      )
    )
      return undefined;
    throw error;
  }
}

function ended(record: OperationRecord, passed: Commit | undefined, now: number): OperationRecord {
  const end = atRest(record, now);
  if (passed !== undefined) return { ...end, state: 'SUCCEEDED', result: passed.result };
  const error = new HostlerError(
    'AGENT_RESTARTED',
    `the daemon ended while ${record.method} ${record.id} was ${record.state.toLowerCase()}`,
    { facts: { operation: record.id } },
  );
  return { ...end, state: 'FAILED', error: storeError(error) };
}
