/**
 * Opens and examines names in an open folder, with synchronous calls, for worker threads. Through
 * `/proc/self/fd`, which is how Node reaches such a name, each call takes twice as long.
 */
import { closeSync, constants, fstatSync, lstatSync, openSync, type BigIntStats } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import { loadKoffi } from '../linux/koffi.js';

/** From <fcntl.h> and <linux/stat.h>, the same on every architecture that Node runs on. */
const [O_CLOEXEC, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, AT_FDCWD] = [0o2000000, 0x100, 0x1000, -100];
const BASIC_STATS_AND_BIRTH = 0xfff;
const [EINTR, ENAMETOOLONG, MOST_NAME_BYTES] = [4, 36, 4096];
const [S_IFMT, S_IFREG, STATX_BYTES] = [0o170000, 0o100000, 256];
const BILLION = 1_000_000_000n;

/** What an inode says of a file; times are in nanoseconds. */
export interface Inode {
  readonly isFile: boolean;
  readonly device: bigint;
  readonly inode: bigint;
  readonly lengthBytes: bigint;
  readonly modifyTimeNs: bigint;
  readonly changeTimeNs: bigint;
  /** 0: the filesystem does not know it. */
  readonly birthTimeNs: bigint;
}

/** Names have one character for each byte. Every call throws system errors as those of Node. */
export interface FilesAt {
  /** Opens a name, never through a link, for reading. Close it with `close` of this. */
  open(folder: number, name: string): number;
  /** The inode of a name, never through a link. */
  inodeAt(folder: number, name: string): Inode;
  /** The inode of an open file. */
  inodeOf(fd: number): Inode;
  close(fd: number): void;
}

const TO_READ = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW;

/**
 * Path by which this process reaches a name in an open folder; names have one character for each
 * byte.
 */
export function within(folder: number, name: string): Buffer {
  return Buffer.from(`/proc/self/fd/${String(folder)}/${name}`, 'latin1');
}

/** The calls by way of Node alone, for hosts without the others. */
export const FILES_BY_NODE: FilesAt = {
  open: (folder, name) => openSync(within(folder, name), TO_READ),
  inodeAt: (folder, name) => inodeFrom(lstatSync(within(folder, name), { bigint: true })),
  inodeOf: (fd) => inodeFrom(fstatSync(fd, { bigint: true })),
  close: closeSync,
};

function inodeFrom(stat: BigIntStats): Inode {
  const { dev, ino, size, mtimeNs, ctimeNs, birthtimeNs } = stat;
  return {
    isFile: stat.isFile(),
    ...{ device: dev, inode: ino, lengthBytes: size },
    ...{ modifyTimeNs: mtimeNs, changeTimeNs: ctimeNs, birthTimeNs: birthtimeNs },
  };
}

let known: FilesAt | undefined;

/** The fastest way to make the calls on this host. */
export function filesAt(): FilesAt {
  return (known ??= loadCalls() ?? FILES_BY_NODE);
}

/** Undefined where koffi, the C library or the kernel does not offer the calls. */
export function loadCalls(): FilesAt | undefined {
  const koffi = loadKoffi();
  if (koffi === undefined) return undefined;
  try {
    const libc = koffi.load(null);
    const calls: Calls = {
      openat: libc.func('int openat(int, const void *, int)'),
      statx: libc.func('int statx(int, const void *, int, uint32_t, void *)'),
      close: libc.func('int close(int)'),
      errno: () => koffi.errno(),
    };
    const files = filesBy(calls);
    files.inodeAt(AT_FDCWD, '/');
    return files;
  } catch {
    return undefined; // an old C library has no `statx`, and some sandboxes refuse it
  }
}

interface Calls {
  readonly openat: (folder: number, name: Buffer, flags: number) => number;
  readonly statx: (folder: number, name: Buffer, flags: number, mask: number, into: Buffer) => number;
  readonly close: (fd: number) => number;
  readonly errno: () => number;
}

/** Results arrive in buffers that all calls of a thread share. */
function filesBy({ openat, statx, close, errno }: Calls): FilesAt {
  const [named, unnamed] = [Buffer.alloc(MOST_NAME_BYTES), Buffer.alloc(1)];
  const found = Buffer.from(new ArrayBuffer(STATX_BYTES));
  const read = inodeIn(found.buffer);
  const bytesOf = (name: string): Buffer => {
    if (name.length >= MOST_NAME_BYTES) throw systemError('open', ENAMETOOLONG);
    named[named.write(name, 'latin1')] = 0;
    return named;
  };
  const call = (syscall: string, make: () => number): number => {
    for (;;) {
      const result = make();
      if (result >= 0) return result;
      const number = errno();
      if (number !== EINTR) throw systemError(syscall, number);
    }
  };
  return {
    open(folder, name) {
      const bytes = bytesOf(name);
      return call('openat', () => openat(folder, bytes, TO_READ | O_CLOEXEC));
    },
    inodeAt(folder, name) {
      const bytes = bytesOf(name);
      call('statx', () => statx(folder, bytes, AT_SYMLINK_NOFOLLOW, BASIC_STATS_AND_BIRTH, found));
      return read();
    },
    inodeOf(fd) {
      call('statx', () => statx(fd, unnamed, AT_EMPTY_PATH, BASIC_STATS_AND_BIRTH, found));
      return read();
    },
    close(fd) {
      // After EINTR, Linux has closed it.
      if (close(fd) < 0 && errno() !== EINTR) throw systemError('close', errno());
    },
  };
}

/**
 * Offsets in the struct are those of <linux/stat.h>, in the byte order of the host. Numbers are
 * signed, as those of Node.
 */
function inodeIn(buffer: ArrayBuffer): () => Inode {
  const [short, word, long] = [new Uint16Array(buffer), new Uint32Array(buffer), new BigInt64Array(buffer)];
  const time = (at: number) => (long[at / 8] ?? 0n) * BILLION + BigInt(word[at / 4 + 2] ?? 0);
  return () => ({
    isFile: ((short[28 / 2] ?? 0) & S_IFMT) === S_IFREG,
    device: deviceOf(word[136 / 4] ?? 0, word[140 / 4] ?? 0),
    inode: long[32 / 8] ?? 0n,
    lengthBytes: long[40 / 8] ?? 0n,
    birthTimeNs: time(80),
    changeTimeNs: time(96),
    modifyTimeNs: time(112),
  });
}

let device = { major: 0, minor: 0, number: 0n };

/** A device number as `stat` gives it; nearly always that of the file before. */
function deviceOf(major: number, minor: number): bigint {
  if (major === device.major && minor === device.minor) return device.number;
  const [high, low] = [BigInt(major), BigInt(minor)];
  const number = ((high & ~0xfffn) << 32n) | ((high & 0xfffn) << 8n) | ((low & ~0xffn) << 12n) | (low & 0xffn);
  device = { major, minor, number };
  return number;
}

function systemError(syscall: string, number: number): Error {
  const code = getSystemErrorName(-number);
  return Object.assign(new Error(`${code}: ${syscall}`), { code, errno: -number, syscall });
}
