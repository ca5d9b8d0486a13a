import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { loadKoffi } from '../linux/koffi.js';
import { SYNC } from './file-calls.js';
import { callsOf } from './handles.js';
import { look } from '../linux/sync-look.js';
import { O_PATH, procPath } from '../linux/proc-path.js';
import type { LockedFile } from '../../domain/ports/images.js';

/** From <fcntl.h>, the same on every architecture of Linux. */
const [F_OFD_GETLK, F_OFD_SETLK] = [36, 37];
const [F_RDLCK, F_WRLCK, F_UNLCK, SEEK_SET] = [0, 1, 2, 0];
/** What the kernel reports as the process id of a lock that belongs to an open file. */
const OPEN_FILE = -1;

/** `struct flock` of 64-bit Linux: bytes, and the index of each field in numbers of its size. */
const FLOCK_BYTES = 32;
const [TYPE, WHENCE, START, LENGTH, PID] = [0, 1, 1, 2, 6];

/** Memory that all calls share, one after another: an object for each would be copied twice. */
class Flock {
  readonly #memory = new ArrayBuffer(FLOCK_BYTES);
  readonly #shorts = new Int16Array(this.#memory);
  readonly #longs = new BigInt64Array(this.#memory);
  readonly #integers = new Int32Array(this.#memory);
  readonly bytes = new Uint8Array(this.#memory);

  /** Asks about a range for a lock of this type. */
  fill(type: number, first: bigint, length: bigint): this {
    this.#shorts[TYPE] = type;
    this.#shorts[WHENCE] = SEEK_SET;
    this.#longs[START] = first;
    this.#longs[LENGTH] = length;
    this.#integers[PID] = 0;
    return this;
  }

  get type(): number {
    return this.#shorts[TYPE] ?? F_UNLCK;
  }

  get start(): bigint {
    return this.#longs[START] ?? 0n;
  }

  get length(): bigint {
    return this.#longs[LENGTH] ?? 0n;
  }

  get pid(): number {
    return this.#integers[PID] ?? 0;
  }
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
  readonly #lock = new Flock();

  private constructor(private readonly fcntl: (fd: number, command: number, lock: Flock) => number) {}

  /** Undefined on a host without a build of koffi. */
  static load(): LockQuery | undefined {
    const koffi = loadKoffi();
    if (koffi === undefined) return undefined;
    const call: (...words: unknown[]) => number = koffi.load(null).func('fcntl', 'int', ['int', 'int', '...']);
    const argument = koffi.pointer('void');
    return new LockQuery((fd, command, lock) => call(fd, command, argument, lock.bytes));
  }

  /**
   * Runs `work` with a function that returns the locks on a file. Undefined if this file cannot be
   * queried: it is not a regular file, its filesystem may not answer at once, or the file is gone
   * or may not be opened.
   */
  ask<T>(file: LockedFile, work: (firstLock: (first: bigint, last: bigint) => FirstLock) => T): T | undefined {
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
    return this.fcntl(fd, F_OFD_SETLK, this.#lock.fill(F_RDLCK, at, 1n)) === 0;
  }

  /** Whether another process has a lock on this byte. True if that cannot be determined. */
  isHeld(fd: number, at: bigint): boolean {
    const lock = this.#lock.fill(F_WRLCK, at, 1n);
    return this.fcntl(fd, F_OFD_GETLK, lock) !== 0 || lock.type !== F_UNLCK;
  }

  #firstLock(fd: number, first: bigint, last: bigint): FirstLock {
    const lock = this.#lock.fill(F_WRLCK, first, last - first + 1n);
    if (this.fcntl(fd, F_OFD_GETLK, lock) !== 0) return 'other';
    const { type, start, length, pid } = lock;
    if (type === F_UNLCK) return undefined;
    if (pid !== OPEN_FILE || length === 0n) return 'other';
    return { first: start, last: start + length - 1n };
  }
}

/** Only regular files are opened: opening a device may have side effects. */
function openRegular(file: LockedFile): number | undefined {
  // An image in a file has been resolved to a regular one; a name may lead to anything.
  const isRegular = file.storage === 'file' && file.name === undefined;
  const leaf = file.name === undefined ? file.handle.fd : openSync(procPath(file), O_PATH | constants.O_NOFOLLOW);
  try {
    if (!isRegular && !fstatSync(leaf).isFile()) return undefined;
    return openSync(`/proc/self/fd/${String(leaf)}`, constants.O_RDONLY | constants.O_NONBLOCK);
  } finally {
    if (leaf !== file.handle.fd) closeSync(leaf);
  }
}
