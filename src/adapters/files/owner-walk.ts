/** The walk itself. It makes synchronous calls, so it runs in a worker thread. */
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  type Stats,
} from 'node:fs';
import { changedOwner, isSettled, staysAllowed, type OwnerChange } from '../../domain/model/owner-change.js';
import { errnoOf } from '../linux/errno.js';
import { areShifted, shiftedRights } from '../rights/shifted.js';
import { O_PATH } from '../linux/proc-path.js';

export interface WalkJob {
  /** Descriptor of the entry on top. */
  readonly fd: number;
  readonly change: OwnerChange;
  readonly dryRun: boolean;
  /** Folders that are skipped, as `device:inode`. */
  readonly closed: readonly string[];
  /** The walk stops when this is not 0. */
  readonly stop: Int32Array;
}

/** Progress of a walk, and how it ended. */
export interface WalkState {
  readonly seen: number;
  readonly changed: number;
  /**
   * The next names after this one, at most `count`, from a window that holds them; and whether more
   * follow.
   */
  readonly total?: number;
  /** Set at the end: some files lost set-id bits or capabilities that had an effect on the host. */
  readonly lost?: boolean;
}

/** A system error with the path below the top at which it occurred. */
export class WalkError extends Error {
  constructor(
    readonly code: string | undefined,
    readonly below: string,
    cause: unknown,
  ) {
    super(String(cause), { cause });
  }
}

/** Depth limit: each open folder holds a descriptor. */
const MAX_DEPTH = 4096;
const PROGRESS_EVERY = 1000;
const ENTRY = O_PATH | constants.O_NOFOLLOW;
const FOLDER = ENTRY | constants.O_DIRECTORY;
const [SET_UID, SET_GID] = [0o4000, 0o2000];
const PERMISSION_BITS = 0o7777;
const PRIVATE_FOLDER_MODE = 0o700;
/**
 * The entry was removed or replaced after its folder was read. The new entry is not part of this
 * change.
 */
const GONE = ['ENOENT', 'ENOTDIR', 'ELOOP'];

/** Reads everything first, and changes it only if some entry differs from the wanted state. */
export function walkOwners(job: WalkJob, report: (state: WalkState) => void): WalkState {
  const { seen: total, wrong } = lookAtAll(job);
  if (wrong === 0 || job.dryRun) return { seen: total, changed: wrong };
  let [seen, changed, lost] = [0, 0, false];
  const onLost = () => (lost = true);
  // An inode with several names is shifted once.
  const done = new Set<string>();
  const change = (fd: number, stat: Stats) => {
    seen += 1;
    if (seen % PROGRESS_EVERY === 0) report({ seen, changed, total: Math.max(total, seen) });
    if (stat.nlink > 1 && !stat.isDirectory()) {
      if (done.has(identity(stat))) return;
      done.add(identity(stat));
    }
    if (changeOne(fd, stat, job.change, onLost)) changed += 1;
  };
  const top = fstatSync(job.fd);
  change(job.fd, top);
  if (top.isDirectory()) changeFolder(job.fd, job, change, []);
  return { seen, changed, total: seen, lost };
}

/**
 * Counts all entries and those that differ from the wanted state. Unless the counts are needed, it
 * stops at the first that differs.
 */
function lookAtAll(job: WalkJob): { seen: number; wrong: number } {
  const top = fstatSync(job.fd);
  let [seen, wrong] = [1, isRight(top, job.change, (use) => use(job.fd)) ? 0 : 1];
  const look = (folder: number, below: readonly Name[]) => {
    eachName(folder, job, below, (path, name, isFolder) => {
      const stat = isFolder || wrong === 0 || job.dryRun ? lstatSync(path) : undefined;
      if (stat?.isDirectory() === true && job.closed.includes(identity(stat))) return;
      seen += 1;
      if (stat !== undefined && !isRight(stat, job.change, (use) => withOpen(path, ENTRY, use))) wrong += 1;
      if (stat?.isDirectory() === true)
        withOpen(path, FOLDER, (fd) => {
          look(fd, [...below, name]);
        });
    });
  };
  if (top.isDirectory()) look(job.fd, []);
  return { seen, wrong };
}

/** Works by descriptor, so that the changed file is the one that was checked. */
function changeFolder(
  folder: number,
  job: WalkJob,
  change: (fd: number, stat: Stats) => void,
  below: readonly Name[],
): void {
  eachName(folder, job, below, (path, name) => {
    withOpen(path, ENTRY, (fd) => {
      const stat = fstatSync(fd);
      if (stat.isDirectory() && job.closed.includes(identity(stat))) return;
      change(fd, stat);
      if (stat.isDirectory()) changeFolder(fd, job, change, [...below, name]);
    });
  });
}

type Name = string | Buffer;

/** Each entry of a folder except the daemon's own, until the walk is stopped. */
function eachName(
  folder: number,
  { stop }: WalkJob,
  below: readonly Name[],
  use: (path: Name, name: Name, isFolder: boolean) => void,
): void {
  if (below.length > MAX_DEPTH) throw new WalkError('ENAMETOOLONG', textOf(below), 'too many folders below each other');
  const path = `/proc/self/fd/${String(folder)}`;
  for (const entry of readFolder(path)) {
    if (Atomics.load(stop, 0) !== 0) return;
    const { name } = entry;
    const place = typeof name === 'string' ? `${path}/${name}` : Buffer.concat([Buffer.from(`${path}/`), name]);
    try {
      if (entry.isDirectory() && isPrivate(name, lstatSync(place))) continue;
      use(place, name, entry.isDirectory());
    } catch (error) {
      const code = errnoOf(error);
      if (error instanceof WalkError || code === undefined) throw error;
      if (!GONE.includes(code)) throw new WalkError(code, textOf([...below, name]), error);
    }
  }
}

/**
 * Private folder of an operation of this host, or of another host that copies to this one through
 * ssh.
 */
const WORK_NAME = /^\.hostler-(?:far-)?[0-9a-f]{12}-.+$/;

/**
 * Whether the entry is a private folder of an operation, which only the daemon can enter. Other
 * folders may have similar names.
 */
function isPrivate(name: Name, { uid, mode }: Stats): boolean {
  return (
    WORK_NAME.test(name.toString()) && uid === process.geteuid?.() && (mode & PERMISSION_BITS) === PRIVATE_FOLDER_MODE
  );
}

/** Reads names as text, which is faster, unless a name is not valid UTF-8. */
function readFolder(path: string): readonly { readonly name: Name; isDirectory(): boolean }[] {
  const entries = readdirSync(path, { withFileTypes: true });
  if (!entries.some(({ name }) => name.includes('\uFFFD'))) return entries;
  return readdirSync(path, { withFileTypes: true, encoding: 'buffer' });
}

/** Whether the entry already has the wanted attributes. */
function isRight(stat: Stats, change: OwnerChange, opened: (use: (fd: number) => boolean) => boolean): boolean {
  if (!isSettled(stat, change)) return false;
  return change.kind !== 'shift' || opened((fd) => areShifted(`/proc/self/fd/${String(fd)}`, stat, change));
}

function changeOne(fd: number, stat: Stats, change: OwnerChange, onLost: () => void): boolean {
  const moves = differs(stat, change);
  const path = `/proc/self/fd/${String(fd)}`;
  // An access list may contain shifted ids, whoever owns the entry.
  const rights = change.kind === 'shift' ? shiftedRights(path, stat, change, moves ? 'changes' : 'stays', onLost) : [];
  if (moves) changeOwner(path, stat, change, onLost);
  for (const set of rights) set();
  return moves || rights.length > 0;
}

function changeOwner(path: string, stat: Stats, change: OwnerChange, onLost: () => void): void {
  const { uid, gid } = changedOwner(stat, change);
  chownSync(path, uid, gid);
  if (change.kind !== 'shift' || !stat.isFile() || (stat.mode & (SET_UID | SET_GID)) === 0) return;
  // The kernel clears the set-id bits on a change of owner. In a shifted tree they keep their
  // meaning, so they are restored.
  const dropped =
    (staysAllowed(uid, stat.uid, change) ? 0 : SET_UID) | (staysAllowed(gid, stat.gid, change) ? 0 : SET_GID);
  if ((stat.mode & dropped) !== 0) onLost();
  chmodSync(path, stat.mode & PERMISSION_BITS & ~dropped);
}

function differs(stat: Stats, change: OwnerChange): boolean {
  const { uid, gid } = changedOwner(stat, change);
  return uid !== stat.uid || gid !== stat.gid;
}

function withOpen<T>(path: Name, flags: number, use: (fd: number) => T): T {
  const fd = openSync(path, flags);
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

function identity({ dev, ino }: Stats): string {
  return `${String(dev)}:${String(ino)}`;
}

function textOf(below: readonly Name[]): string {
  return below.map((name) => name.toString()).join('/');
}
