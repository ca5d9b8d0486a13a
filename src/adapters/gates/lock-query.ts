import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { errnoOf } from '../linux/errno.js';
import { SYNC } from './file-calls.js';
import { callsOf } from './handles.js';
import { look } from '../linux/sync-look.js';
import { O_PATH, procPath } from '../linux/proc-path.js';
import type { FileRef } from '../../domain/ports/handles.js';

/** From <fcntl.h>, the same on every architecture of Linux. */
const [F_OFD_GETLK, F_OFD_SETLK] = [36, 37];
const [F_RDLCK, F_WRLCK, F_UNLCK, SEEK_SET] = [0, 1, 2, 0];
/** What the kernel reports as the process id of a lock that belongs to an open file. */
const OPEN_FILE = -1;

interface Flock {
  l_type: number;
  l_whence: number;
  l_start: number | bigint;
  l_len: number | bigint;
  l_pid: number;
}

/**
 * Start and end of the first lock of another process within a range; 'other' for a lock of a kind
 * that qemu does not use.
 */
export type FirstLock = { readonly first: bigint; readonly last: bigint } | 'other' | undefined;

/**
 * Asks the kernel for the locks of one file, which takes microseconds and blocks no other process.
 * Reading /proc/locks takes 13 ms and blocks all locking on the host. Node has no such call, so it
 * is made through koffi, an optional dependency.
 */
export class LockQuery {
  private constructor(private readonly fcntl: (fd: number, command: number, lock: Flock) => number) {}

  /** Undefined on a host without a build of koffi. */
  static async load(): Promise<LockQuery | undefined> {
    const loaded = await import('koffi').catch((error: unknown) => {
      if (errnoOf(error) === 'ERR_MODULE_NOT_FOUND') return undefined;
      throw error;
    });
    if (loaded === undefined) return undefined;
    const { default: koffi } = loaded;
    const flock = koffi.struct({ l_type: 'short', l_whence: 'short', l_start: 'int64', l_len: 'int64', l_pid: 'int' });
    const call: (...words: unknown[]) => number = koffi.load(null).func('fcntl', 'int', ['int', 'int', '...']);
    const argument = koffi.inout(koffi.pointer(flock));
    return new LockQuery((fd, command, lock) => call(fd, command, argument, lock));
  }

  /**
   * Runs `work` with a function that returns the locks on a file. Undefined if this file cannot be
   * queried: it is not a regular file, its filesystem may not answer at once, or the file is gone
   * or may not be opened.
   */
  ask<T>(file: FileRef, work: (firstLock: (first: bigint, last: bigint) => FirstLock) => T): T | undefined {
    if (callsOf(file.handle) !== SYNC) return undefined;
    const fd = look(() => openRegular(file));
    if (fd === undefined) return undefined;
    try {
      return work((first, last) => this.#firstLock(fd, first, last));
    } finally {
      closeSync(fd);
    }
  }

  /**
   * Takes a shared lock on one byte, which is released when the descriptor is closed. False if the
   * filesystem has no locks.
   */
  hold(fd: number, at: bigint): boolean {
    return this.fcntl(fd, F_OFD_SETLK, oneByte(F_RDLCK, at)) === 0;
  }

  /** Whether another process has a lock on this byte. True if that cannot be determined. */
  isHeld(fd: number, at: bigint): boolean {
    const lock = oneByte(F_WRLCK, at);
    return this.fcntl(fd, F_OFD_GETLK, lock) !== 0 || lock.l_type !== F_UNLCK;
  }

  #firstLock(fd: number, first: bigint, last: bigint): FirstLock {
    const lock: Flock = { l_type: F_WRLCK, l_whence: SEEK_SET, l_start: first, l_len: last - first + 1n, l_pid: 0 };
    if (this.fcntl(fd, F_OFD_GETLK, lock) !== 0) return 'other';
    if (lock.l_type === F_UNLCK) return undefined;
    const [start, length] = [BigInt(lock.l_start), BigInt(lock.l_len)];
    if (lock.l_pid !== OPEN_FILE || length === 0n) return 'other';
    return { first: start, last: start + length - 1n };
  }
}

function oneByte(type: number, at: bigint): Flock {
  return { l_type: type, l_whence: SEEK_SET, l_start: at, l_len: 1n, l_pid: 0 };
}

/** Only regular files are opened: opening a device may have side effects. */
function openRegular(file: FileRef): number | undefined {
  const leaf = file.name === undefined ? file.handle.fd : openSync(procPath(file), O_PATH | constants.O_NOFOLLOW);
  try {
    if (!fstatSync(leaf).isFile()) return undefined;
    return openSync(`/proc/self/fd/${String(leaf)}`, constants.O_RDONLY | constants.O_NONBLOCK);
  } finally {
    if (leaf !== file.handle.fd) closeSync(leaf);
  }
}
