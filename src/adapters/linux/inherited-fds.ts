import { closeSync, openSync, readFileSync, readdirSync } from 'node:fs';
import { errnoOf } from './errno.js';
import { loadKoffi } from './koffi.js';

const O_CLOEXEC = 0o2000000;

/**
 * Closes descriptors that the parent process left open, such as those of another service; call it
 * before anything else is opened. Otherwise every tool would inherit them, or need a replacement
 * for every number up to the highest: with a descriptor 251, each start of a tool took 20 ms more.
 * Returns the closed descriptors.
 */
export function closeInherited(): readonly number[] {
  // Node needs the channel to a parent that is Node.
  const kept = [0, 1, 2, Number(process.env['NODE_CHANNEL_FD'] ?? 0)];
  const found = readdirSync('/proc/self/fd')
    .map(Number)
    .filter((fd) => !kept.includes(fd) && isInheritable(fd));
  for (const fd of found) closeSync(fd);
  return found;
}

/**
 * Ensures that a child inherits no descriptor by accident: libraries may open some without
 * close-on-exec, and no tool may see them. Returns the highest descriptor that a child would still
 * inherit if the kernel does not support this (koffi has no build, Linux before 5.11); otherwise 2.
 */
export function highestInheritable(): number {
  closeOnExec ??= closeOnExecCall();
  if (closeOnExec()) return 2;
  const fds = readdirSync('/proc/self/fd').map(Number);
  return Math.max(2, ...fds.filter(isInheritable));
}

let closeOnExec: (() => boolean) | undefined;
const [FIRST_FD, LAST_FD, CLOSE_RANGE_CLOEXEC] = [3, 2 ** 32 - 1, 4];

/** Marks all descriptors of this process close-on-exec in one call. Returns whether that worked. */
function closeOnExecCall(): () => boolean {
  try {
    const call = loadKoffi()?.load(null).func('close_range', 'int', ['uint', 'uint', 'int']);
    return () => call?.(FIRST_FD, LAST_FD, CLOSE_RANGE_CLOEXEC) === 0;
  } catch (error) {
    // The C library does not have the call (glibc before 2.34).
    if (!String(error).includes('close_range')) throw error;
    return () => false;
  }
}

/** Calls `use` with an open `/dev/null`, which replaces such a descriptor in the child. */
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
    // Closed since the folder was read, like the descriptor of the folder itself.
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
}
