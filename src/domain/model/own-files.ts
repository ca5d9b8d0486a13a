/**
 * Messages about the daemon's own files, folders and sockets when the system refuses them. Pure:
 * for every layer.
 */

const ELSEWHERE = 'or name another place';
const DISK_FAILS = 'its disk or filesystem fails: see the log of the kernel';

/**
 * Errnos of Linux by number: libuv has no name for some, such as EDQUOT. With what the operator can
 * do about each.
 */
const ADVICE: Readonly<Record<number, readonly [name: string, what: string, advice: string]>> = {
  1: ['EPERM', 'operation not permitted', `let the daemon's user change it, ${ELSEWHERE}`],
  2: ['ENOENT', 'no such file or folder', `make it, ${ELSEWHERE}`],
  5: ['EIO', 'input/output error', DISK_FAILS],
  12: ['ENOMEM', 'out of memory', 'free some memory'],
  13: ['EACCES', 'permission denied', `let the daemon's user in, ${ELSEWHERE}`],
  16: ['EBUSY', 'resource busy', `find out who uses it, ${ELSEWHERE}`],
  17: ['EEXIST', 'something is there already', `remove what is there, ${ELSEWHERE}`],
  20: ['ENOTDIR', 'not a folder', `something on its path is no folder: remove that, ${ELSEWHERE}`],
  21: ['EISDIR', 'it is a folder', `remove that folder, ${ELSEWHERE}`],
  23: ['ENFILE', 'too many open files on the host', 'raise fs.file-max'],
  24: ['EMFILE', 'too many open files', "raise the daemon's limit of open files (LimitNOFILE)"],
  28: ['ENOSPC', 'no space left', 'make room on its filesystem'],
  30: ['EROFS', 'read-only filesystem', `mount it for writing, ${ELSEWHERE}`],
  36: ['ENAMETOOLONG', 'name too long', 'choose a shorter path'],
  40: ['ELOOP', 'a link that may not or cannot be followed', `remove that link, ${ELSEWHERE}`],
  98: ['EADDRINUSE', 'address in use', 'stop who listens there, or choose another address'],
  99: ['EADDRNOTAVAIL', 'this host has no such address', 'choose another address'],
  107: ['ENOTCONN', 'its filesystem is not connected', 'mount it again'],
  116: ['ESTALE', 'stale file handle', 'mount its filesystem again'],
  117: ['EUCLEAN', 'its filesystem is damaged', 'check it with fsck'],
  122: ['EDQUOT', 'quota used up', 'make room, or raise the quota'],
};

/** One sentence for the operator: what cannot be used, where it is, why, and what to do. */
export class OwnFileError extends Error {
  override readonly name = 'OwnFileError';
}

/**
 * A system error about a file of the daemon, as an OwnFileError; any other error unchanged.
 * @param what the file, with its key in the configuration, such as `the state folder (state_dir)`
 */
export function ownFileError(what: string, path: string, error: unknown): unknown {
  const why = whyRefused(error);
  if (why === undefined) return error;
  // The error may be about a file in the folder, or a parent folder.
  const named = error instanceof Error && 'path' in error && typeof error.path === 'string' ? error.path : path;
  const where = named.startsWith('/proc/self/fd/') ? path : named;
  return new OwnFileError(`${what} cannot be used: ${where}: ${why}`, { cause: error });
}

/** The system's text and what to do; undefined for an error that is not a system error. */
export function whyRefused(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('syscall' in error)) return undefined;
  const number = 'errno' in error && typeof error.errno === 'number' ? -error.errno : 0;
  const [name, what, advice] = ADVICE[number] ?? [undefined, error.message, DISK_FAILS];
  return `${what}${name === undefined ? '' : ` (${name})`}; ${advice}`;
}

/** Works with a file of the daemon. Fails with OwnFileError if the system refuses. */
export async function ownFile<T>(what: string, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw ownFileError(what, path, error);
  }
}
