import {
  close,
  closeSync,
  fstat,
  fstatSync,
  open,
  openSync,
  read,
  readSync,
  readlink,
  readlinkSync,
  stat,
  statfs,
  statfsSync,
  type BigIntStats,
  type BigIntStatsFs,
} from 'node:fs';
import { promisify } from 'node:util';

type Now<T> = T | Promise<T>;

/** System calls that wait for no disk where a filesystem is local. */
export interface FileCalls {
  open(path: string, flags: number): Now<number>;
  close(fd: number): Now<void>;
  stat(fd: number): Now<BigIntStats>;
  /** Follows links. */
  statPath(path: string): Now<BigIntStats>;
  statfs(path: string): Now<BigIntStatsFs>;
  readlink(path: string): Now<string>;
  /** Returns the number of bytes read. */
  read(fd: number, buffer: Buffer, position: number | bigint): Now<number>;
}

const pool = {
  open: promisify(open),
  close: promisify(close),
  stat: promisify(fstat),
  statPath: promisify(stat),
  statfs: promisify(statfs),
  readlink: promisify(readlink),
};

/** False also if the filesystem does not say: the descriptor is closed in both cases. */
function hasName(fd: number): boolean {
  try {
    return fstatSync(fd).nlink > 0;
  } catch {
    return false; // the caller closes the descriptor in any case
  }
}

/**
 * Synchronous calls: five times as fast as the thread pool, but only for filesystems that always
 * answer.
 */
export const SYNC: FileCalls = {
  open: openSync,
  // close() of the last descriptor of a removed file blocks until its space is freed.
  close: (fd) => (hasName(fd) ? closeSync(fd) : pool.close(fd)),
  stat: (fd) => fstatSync(fd, { bigint: true }),
  // A path may lead through other filesystems.
  statPath: (path) => pool.statPath(path, { bigint: true }),
  statfs: (path) => statfsSync(path, { bigint: true }),
  readlink: (path) => readlinkSync(path),
  read: (fd, buffer, position) => readSync(fd, buffer, 0, buffer.length, position),
};

/** Calls in a thread of the pool: one that hangs does not block the event loop. */
export const THREADPOOL: FileCalls = {
  open: (path, flags) => pool.open(path, flags),
  close: pool.close,
  stat: (fd) => pool.stat(fd, { bigint: true }),
  statPath: (path) => pool.statPath(path, { bigint: true }),
  statfs: (path) => pool.statfs(path, { bigint: true }),
  readlink: (path) => pool.readlink(path),
  read: (fd, buffer, position) =>
    new Promise((resolve, reject) => {
      read(fd, buffer, 0, buffer.length, position, (error, count) => {
        if (error === null) resolve(count);
        else reject(error);
      });
    }),
};
