/** A look at one file of an inventory. Synchronous calls: for threads of their own. */
import { closeSync, constants, fstatSync, lstatSync, openSync, type BigIntStats } from 'node:fs';
import { errnoOf } from '../linux/errno.js';
import { packFacts, readFacts } from './image-facts.js';

/** What was changed so shortly before a look may change again within the same tick of the clock. */
const SETTLED_NS = 2_000_000_000n;
/** Stands before the stamp of what is not settled. */
const UNSETTLED = '~';
/** Gone meanwhile, or turned into something else. */
const GONE = ['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'];
const FILE = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW;

/**
 * What a look found: the same file as before; no regular file; one that cannot be asked, and the
 * system's word for why; or what its inode and header say, with the name of its base.
 */
export type FileLook =
  | 'same'
  | 'gone'
  | { readonly unseen: string }
  | { readonly stamp: string; readonly facts: string; readonly base?: string };

/**
 * Looks at the file of this name in an open folder, never through a link.
 *
 * @param stamp of the look before, which has to have been settled for the file to be the same
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

/** Files in an open folder, which stays open until they have been looked at. */
export interface FilesToLookAt {
  readonly folder: number;
  readonly names: readonly string[];
  /** Of each name the stamp of the look before. */
  readonly stamps: readonly (string | undefined)[];
}

/** In the order of the names. Fails with what is no error of the system. */
export async function lookAtFiles({ folder, names, stamps }: FilesToLookAt): Promise<readonly FileLook[]> {
  const looks: FileLook[] = [];
  for (const [at, name] of names.entries()) looks.push(await lookAtFile(folder, name, stamps[at]));
  return looks;
}

/** Fails with what is no error of the system. */
export function failed(error: unknown): 'gone' | { readonly unseen: string } {
  const errno = errnoOf(error);
  if (errno === undefined) throw error;
  return GONE.includes(errno) ? 'gone' : { unseen: errno };
}

/** By which this process reaches a name in an open folder; a character is a byte. */
export function within(fd: number, name: string): Buffer {
  return Buffer.from(`/proc/self/fd/${String(fd)}/${name}`, 'latin1');
}

/** The number of the inode in a stamp. */
export function inodeOf(stamp: string): string {
  return (stamp.split(' ')[0] ?? '').replace(UNSETTLED, '');
}

/** Of an inode: its number first. */
function stampOf({ ino, mtimeNs, ctimeNs, size }: BigIntStats): string {
  const settled = BigInt(Date.now()) * 1_000_000n - ctimeNs > SETTLED_NS;
  return `${settled ? '' : UNSETTLED}${String(ino)} ${String(mtimeNs)} ${String(ctimeNs)} ${String(size)}`;
}
