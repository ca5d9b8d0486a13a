/** The walk itself, with synchronous calls: it runs in a thread of its own, where it holds up nobody. */
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
import { changedOwner, isSettled, type OwnerChange } from '../domain/files/owner-change.js';
import { errnoOf } from './errno.js';
import { O_PATH } from './handles.js';
import { PRIVATE_PREFIX } from './path-walk.js';

export interface WalkJob {
  /** Descriptor of the entry on top. */
  readonly fd: number;
  readonly change: OwnerChange;
  readonly dryRun: boolean;
  /** `device:inode` of folders that are left out. */
  readonly closed: readonly string[];
  /** Not 0: stop. */
  readonly stop: Int32Array;
}

/** How far it has come, and how it ended. */
export interface WalkState {
  readonly seen: number;
  readonly changed: number;
  /** Known after the first pass. */
  readonly total?: number;
}

/** An error of the system, with where it happened below the top. */
export class WalkError extends Error {
  constructor(
    readonly code: string | undefined,
    readonly below: string,
    cause: unknown,
  ) {
    super(String(cause), { cause });
  }
}

/** Folders below folders; each holds a descriptor. */
const MAX_DEPTH = 4096;
const PROGRESS_EVERY = 1000;
const SET_ID_BITS = 0o6000;
const PERMISSION_BITS = 0o7777;
/** Gone, or replaced, since its folder was read: whoever did that has another entry now. */
const GONE = ['ENOENT', 'ENOTDIR', 'ELOOP'];

/** Looks at everything first; changes it only when something is not as it should be. */
export function walkOwners(job: WalkJob, report: (state: WalkState) => void): WalkState {
  let seen = 0;
  let wrong = 0;
  visitAll(job, (stat) => {
    seen += 1;
    if (!isSettled(stat, job.change)) wrong += 1;
  });
  if (wrong === 0 || job.dryRun) return { seen, changed: wrong };
  const total = seen;
  let changed = 0;
  seen = 0;
  // An inode with several names is shifted once.
  const done = new Set<string>();
  visitAll(job, (stat, open) => {
    seen += 1;
    if (seen % PROGRESS_EVERY === 0) report({ seen, changed, total: Math.max(total, seen) });
    if (stat.nlink > 1 && !stat.isDirectory()) {
      if (done.has(identity(stat))) return;
      done.add(identity(stat));
    }
    if (differs(stat, job.change) && open((fd) => changeOne(fd, job.change))) changed += 1;
  });
  return { seen, changed, total: seen };
}

type Visit = (stat: Stats, open: (use: (fd: number) => boolean) => boolean) => void;

/** The entry on top and all that is below it. */
function visitAll(job: WalkJob, visit: Visit): void {
  const top = fstatSync(job.fd);
  visit(top, (use) => use(job.fd));
  if (top.isDirectory()) visitFolder(job.fd, job, visit, []);
}

function visitFolder(folder: number, job: WalkJob, visit: Visit, below: readonly Buffer[]): void {
  if (below.length > MAX_DEPTH) throw new WalkError('ENAMETOOLONG', textOf(below), 'too many folders below each other');
  for (const name of readdirSync(`/proc/self/fd/${String(folder)}`, { encoding: 'buffer' })) {
    if (Atomics.load(job.stop, 0) !== 0) return;
    if (name.subarray(0, PRIVATE_PREFIX.length).toString() === PRIVATE_PREFIX) continue;
    visitEntry(folder, name, job, visit, [...below, name]);
  }
}

function visitEntry(folder: number, name: Buffer, job: WalkJob, visit: Visit, below: readonly Buffer[]): void {
  try {
    const path = Buffer.concat([Buffer.from(`/proc/self/fd/${String(folder)}/`), name]);
    const stat = lstatSync(path);
    if (stat.isDirectory() && job.closed.includes(identity(stat))) return;
    const flags = O_PATH | constants.O_NOFOLLOW;
    visit(stat, (use) => withOpen(path, flags, use));
    if (stat.isDirectory())
      withOpen(path, flags | constants.O_DIRECTORY, (fd) => {
        visitFolder(fd, job, visit, below);
      });
  } catch (error) {
    const code = errnoOf(error);
    if (error instanceof WalkError || code === undefined) throw error;
    if (!GONE.includes(code)) throw new WalkError(code, textOf(below), error);
  }
}

/** By descriptor, so that what is changed is what was looked at. */
function changeOne(fd: number, change: OwnerChange): boolean {
  const stat = fstatSync(fd);
  if (!differs(stat, change)) return false;
  const { uid, gid } = changedOwner(stat, change);
  const path = `/proc/self/fd/${String(fd)}`;
  chownSync(path, uid, gid);
  // The kernel takes the set-id bits away; in a shifted tree they mean the same as before.
  if (change.kind === 'shift' && stat.isFile() && (stat.mode & SET_ID_BITS) !== 0)
    chmodSync(path, stat.mode & PERMISSION_BITS);
  return true;
}

function differs(stat: Stats, change: OwnerChange): boolean {
  const { uid, gid } = changedOwner(stat, change);
  return uid !== stat.uid || gid !== stat.gid;
}

function withOpen<T>(path: Buffer, flags: number, use: (fd: number) => T): T {
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

function textOf(below: readonly Buffer[]): string {
  return below.map((name) => name.toString()).join('/');
}
