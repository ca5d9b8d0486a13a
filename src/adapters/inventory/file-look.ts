/** The examination of one file of an inventory. Makes synchronous calls, for worker threads. */
import { closeSync, constants, fstatSync, lstatSync, openSync, type BigIntStats } from 'node:fs';
import { errnoOf } from '../linux/errno.js';
import { packFacts, readFacts } from './image-facts.js';

/**
 * A file that was changed less than 2 s before it was examined may change again within the same
 * tick of the clock.
 */
const SETTLED_NS = 2_000_000_000n;
/** Prefix of a stamp whose file changed too recently to be trusted. */
const UNSETTLED = '~';
/** The file was removed or replaced by something else. */
const GONE = ['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'];
const FILE = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW;

/**
 * Result for one file: the same file as before; not a regular file; a file that cannot be examined,
 * with the system's error code; or the facts from its inode and header, with the name of its base.
 */
export type FileLook =
  | 'same'
  | 'gone'
  | { readonly unseen: string }
  | { readonly stamp: string; readonly facts: string; readonly base?: string };

/**
 * Examines the file with this name in an open folder, never through a link.
 * @param stamp of the previous scan; only a settled stamp can show that the file is unchanged
 */
async function lookAtFile(folder: number, name: string, stamp: string | undefined): Promise<FileLook> {
  try {
    const path = within(folder, name);
    if (stamp?.startsWith(UNSETTLED) === false) {
      const stat = lstatSync(path, { bigint: true });
      if (!stat.isFile()) return 'gone';
      if (stamp === stampOf(stat)) return 'same';
    }
    const file = openSync(path, FILE);
    try {
      const stat = fstatSync(file, { bigint: true });
      if (!stat.isFile()) return 'gone';
      const facts = await readFacts(file, stat);
      const { backingFile: base } = facts;
      return { stamp: stampOf(stat), facts: packFacts(facts), ...(base === undefined ? {} : { base }) };
    } finally {
      closeSync(file);
    }
  } catch (error) {
    return failed(error);
  }
}

/** Files in an open folder. The caller keeps the folder open until they have been examined. */
export interface FilesToLookAt {
  readonly folder: number;
  readonly names: readonly string[];
  /** For each name the stamp of the previous scan. */
  readonly stamps: readonly (string | undefined)[];
}

/** Results in the order of the names. Throws errors that are not system errors. */
export async function lookAtFiles({ folder, names, stamps }: FilesToLookAt): Promise<readonly FileLook[]> {
  const looks: FileLook[] = [];
  for (const [at, name] of names.entries()) looks.push(await lookAtFile(folder, name, stamps[at]));
  return looks;
}

/** Throws errors that are not system errors. */
export function failed(error: unknown): 'gone' | { readonly unseen: string } {
  const errno = errnoOf(error);
  if (errno === undefined) throw error;
  return GONE.includes(errno) ? 'gone' : { unseen: errno };
}

/**
 * Path by which this process reaches a name in an open folder; names have one character for each
 * byte.
 */
export function within(fd: number, name: string): Buffer {
  return Buffer.from(`/proc/self/fd/${String(fd)}/${name}`, 'latin1');
}

/** The inode number in a stamp. */
export function inodeOf(stamp: string): string {
  return (stamp.split(' ')[0] ?? '').replace(UNSETTLED, '');
}

/** The stamp of an inode; it begins with the inode number. */
function stampOf({ ino, mtimeNs, ctimeNs, size }: BigIntStats): string {
  const settled = BigInt(Date.now()) * 1_000_000n - ctimeNs > SETTLED_NS;
  return `${settled ? '' : UNSETTLED}${String(ino)} ${String(mtimeNs)} ${String(ctimeNs)} ${String(size)}`;
}
