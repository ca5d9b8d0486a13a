import { closeSync, openSync, readFileSync, readdirSync } from 'node:fs';
import { errnoOf } from './errno.js';
import { loadKoffi } from './koffi.js';

const O_CLOEXEC = 0o2000000;

/**
 * Closes what the process that started us left open in us, such as a service of another; to be
 * called before anything else is opened. Every tool would inherit it, or a cover for every number
 * up to its own: with one at 251 each start of a tool took 20 ms more. What was closed.
 */
export function closeInherited(): readonly number[] {
  // The channel to a parent that is Node is Node's own.
  const kept = [0, 1, 2, Number(process.env['NODE_CHANNEL_FD'] ?? 0)];
  const found = readdirSync('/proc/self/fd')
    .map(Number)
    .filter((fd) => !kept.includes(fd) && isInheritable(fd));
  for (const fd of found) closeSync(fd);
  return found;
}

/**
 * Sees to it that a child inherits no descriptor unasked: libraries may open files so, which no
 * tool may see. Returns the highest one that it would inherit all the same, where the kernel cannot
 * be asked for this (koffi has no build, Linux before 5.11); else 2.
 */
export function highestInheritable(): number {
  closeOnExec ??= closeOnExecCall();
  if (closeOnExec()) return 2;
  const fds = readdirSync('/proc/self/fd').map(Number);
  return Math.max(2, ...fds.filter(isInheritable));
}

let closeOnExec: (() => boolean) | undefined;
const [FIRST_FD, LAST_FD, CLOSE_RANGE_CLOEXEC] = [3, 2 ** 32 - 1, 4];

/** Marks all of our descriptors in one call; whether it could. */
function closeOnExecCall(): () => boolean {
  try {
    const call = loadKoffi()?.load(null).func('close_range', 'int', ['uint', 'uint', 'int']);
    return () => call?.(FIRST_FD, LAST_FD, CLOSE_RANGE_CLOEXEC) === 0;
  } catch (error) {
    // A C library that does not know the call (glibc before 2.34).
    if (!String(error).includes('close_range')) throw error;
    return () => false;
  }
}

/** Calls with `/dev/null`, which takes the place of such a descriptor in the child. */
export function withNull<T>(use: (fd: number) => T): T {
  const fd = openSync('/dev/null', 'r+');
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

function isInheritable(fd: number): boolean {
  try {
    const flags = /^flags:\s+(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${String(fd)}`, 'latin1'))?.[1] ?? '';
    return (Number.parseInt(flags, 8) & O_CLOEXEC) === 0;
  } catch (error) {
    // Closed since the folder was read, as the folder itself was.
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
}
