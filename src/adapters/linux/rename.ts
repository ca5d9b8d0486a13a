/** Renames that never replace an existing name: Node has no call for them. */
import { link, lstat, rename, unlink } from 'node:fs/promises';
import { loadKoffi } from './koffi.js';
import { errnoOf } from './errno.js';

const AT_FDCWD = -100;
const RENAME_NOREPLACE = 1;
/** What a kernel or filesystem answers that does not support such a rename. */
const NO_FLAG = ['EINVAL', 'ENOSYS'];
/** What a filesystem answers that has no hard links, or none for folders. */
const NO_LINK = ['EPERM', 'EOPNOTSUPP', 'ENOTSUP', 'ENOSYS', 'EMLINK'];

type RenameAt = (fromFd: number, from: string, toFd: number, to: string, flags: number) => number;
interface Libc {
  readonly renameAt: RenameAt;
  readonly errno: () => number;
}
let libc: Libc | 'none' | undefined;

/**
 * Renames in one step; fails with EEXIST if the name exists. If the host or filesystem has no such
 * call, a file gets its second name before it loses the first; for a folder, which cannot have two,
 * the name is checked immediately before.
 * @param sync whether the filesystem always answers at once
 */
export async function renameNew(from: string, to: string, sync: boolean): Promise<void> {
  const failed = sync ? renameAtOnce(from, to) : 'ENOSYS';
  if (failed === undefined) return;
  if (!NO_FLAG.includes(failed)) throw Object.assign(new Error(`rename: ${failed}`), { code: failed });
  try {
    await link(from, to);
  } catch (error) {
    if (!NO_LINK.includes(errnoOf(error) ?? '')) throw error;
    if (await isThere(to)) throw Object.assign(new Error('rename: EEXIST'), { code: 'EEXIST' });
    await rename(from, to);
    return;
  }
  await unlink(from);
}

/** The name of the errno if the call failed. */
function renameAtOnce(from: string, to: string): string | undefined {
  libc ??= loadLibc();
  if (libc === 'none') return 'ENOSYS';
  if (libc.renameAt(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) === 0) return undefined;
  return errnoOf(Object.assign(new Error('rename'), { syscall: 'renameat2', errno: -libc.errno() })) ?? 'EIO';
}

function loadLibc(): Libc | 'none' {
  const koffi = loadKoffi();
  if (koffi === undefined) return 'none';
  try {
    const words = ['int', 'str', 'int', 'str', 'uint'];
    const renameAt: RenameAt = koffi.load(null).func('renameat2', 'int', words);
    return { renameAt, errno: () => koffi.errno() };
  } catch {
    // The C library does not have the call.
    return 'none';
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
}
