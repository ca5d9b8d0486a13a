/** The examination of one file of an inventory. Makes synchronous calls, for worker threads. */
import { errnoOf } from '../linux/errno.js';
import { filesAt, type Inode } from './files-at.js';
import { areOfInode, readFacts } from './image-facts.js';

/**
 * A file that was changed less than 2 s before it was examined may change again within the same
 * tick of the clock.
 */
const SETTLED_NS = 2_000_000_000n;
/** Prefix of a stamp whose file had changed too recently to be trusted. */
const UNSETTLED = '~';
/** The file was removed or replaced by something else. */
const GONE = ['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'];

/**
 * Result for one file: the same file as before; not a regular file; a file that cannot be examined,
 * with the system's error code; or the facts from its inode and header, with the name of its base.
 */
export type FileLook =
  | 'same'
  | 'gone'
  | { readonly unseen: string }
  | { readonly stamp: string; readonly facts: string; readonly base?: string };

/** What the row of a file says of it; a settled stamp can show that the file is unchanged. */
export interface Known {
  readonly stamp: string;
  readonly facts: string;
}

/** Examines the file with this name in an open folder, never through a link. */
async function lookAtFile(folder: number, name: string, known: Known | undefined): Promise<FileLook> {
  const files = filesAt();
  try {
    if (known?.stamp.startsWith(UNSETTLED) === false) {
      const inode = files.inodeAt(folder, name);
      if (!inode.isFile) return 'gone';
      if (known.stamp === String(inode.changeTimeNs) && areOfInode(known.facts, inode)) return 'same';
    }
    const file = files.open(folder, name);
    try {
      const inode = files.inodeOf(file);
      if (!inode.isFile) return 'gone';
      const { facts, base } = await readFacts(file, inode);
      return { stamp: stampOf(inode), facts, ...(base === undefined ? {} : { base }) };
    } finally {
      files.close(file);
    }
  } catch (error) {
    return failed(error);
  }
}

/** Files in an open folder. The caller keeps the folder open until they have been examined. */
export interface FilesToLookAt {
  readonly folder: number;
  readonly names: readonly string[];
  /** For each name what the previous scan found. */
  readonly known: readonly (Known | undefined)[];
}

/** Results in the order of the names. Throws errors that are not system errors. */
export async function lookAtFiles({ folder, names, known }: FilesToLookAt): Promise<readonly FileLook[]> {
  const looks: FileLook[] = [];
  for (const [at, name] of names.entries()) looks.push(await lookAtFile(folder, name, known[at]));
  return looks;
}

/** Throws errors that are not system errors. */
export function failed(error: unknown): 'gone' | { readonly unseen: string } {
  const errno = errnoOf(error);
  if (errno === undefined) throw error;
  return GONE.includes(errno) ? 'gone' : { unseen: errno };
}

/** The stamp of an inode: when it changed last; the rest of what can change is in the facts. */
function stampOf({ changeTimeNs }: Inode): string {
  const settled = BigInt(Date.now()) * 1_000_000n - changeTimeNs > SETTLED_NS;
  return `${settled ? '' : UNSETTLED}${String(changeTimeNs)}`;
}
