import { lstat, readFile, stat } from 'node:fs/promises';
import type { ImageLocks, LockedFile } from '../../domain/ports/images.js';
import { errnoOf } from '../linux/errno.js';
import { asked } from '../gates/handles.js';
import { holderOf } from './holders.js';
import type { FirstLock, LockQuery } from '../gates/lock-query.js';
import { mountOf, readMounts, type Mount } from '../linux/mounts.js';
import { procPath } from '../linux/proc-path.js';
import type { FileRef } from '../../domain/ports/handles.js';

/**
 * qemu locks single bytes of an image (block/file-posix.c): byte 100 + n means that permission n is
 * used, 200 + n that it is not shared. Permission 1 is writing, 3 resizing; 0 (consistent read) is
 * held by readers.
 */
const FIRST_BYTE = 100n;
const LAST_BYTE = 203n;
const WRITER_BYTES: readonly bigint[] = [101n, 103n];

/** Locks for display are read again after FRESH_MS, and not shown when older than STALE_MS. */
const [FRESH_MS, STALE_MS] = [25, 100];

type Hold = 'none' | 'reader' | 'writer';

/** Bytes of a file that are locked. */
export interface LockedRange {
  /** `major:minor:inode`, as in /proc/locks. */
  readonly file: string;
  readonly first: bigint;
  readonly last: bigint;
}

/**
 * Lines such as `7: OFDLCK ADVISORY READ -1 fe:00:1234 100 101`; device numbers are hexadecimal.
 */
export function parseLocks(text: string): LockedRange[] {
  const ranges: LockedRange[] = [];
  for (const line of text.split('\n')) {
    const [, kind, , , , file = '', first = '', last = ''] = line.trim().split(/\s+/);
    if (kind !== 'OFDLCK' || last === 'EOF') continue;
    ranges.push({ file, first: BigInt(first), last: BigInt(last) });
  }
  return ranges;
}

/** The strongest hold on a file. */
export function holdOf(ranges: readonly LockedRange[], file: string): Hold {
  const own = ranges.filter((range) => range.file === file && range.first >= FIRST_BYTE && range.last <= LAST_BYTE);
  if (own.length === 0) return 'none';
  const writes = own.some(({ first, last }) => WRITER_BYTES.some((byte) => first <= byte && byte <= last));
  return writes ? 'writer' : 'reader';
}

/**
 * The strongest hold, by querying the kernel. Undefined if processes other than qemu hold locks
 * too, which may hide those of qemu.
 */
function holdAsked(firstLock: (first: bigint, last: bigint) => FirstLock): Hold | undefined {
  const first = firstLock(FIRST_BYTE, LAST_BYTE);
  if (first === undefined) return 'none';
  if (first === 'other' || first.first < FIRST_BYTE || first.last > LAST_BYTE) return undefined;
  return WRITER_BYTES.some((byte) => firstLock(byte, byte) !== undefined) ? 'writer' : 'reader';
}

interface Look {
  readonly time: number;
  readonly ranges: Promise<LockedRange[]>;
}

/**
 * Finds qemu's byte locks: queries those of one file if possible, and otherwise reads /proc/locks.
 * It takes no locks.
 */
export class QemuLocks implements ImageLocks {
  #latest: Look | undefined;
  #shown: Look | undefined;

  constructor(private readonly query?: LockQuery) {}

  holder(file: FileRef): Promise<number | undefined> {
    return holderOf(file);
  }

  async holds(files: readonly LockedFile[], age: 'now' | 'shown' = 'now'): Promise<readonly Hold[]> {
    const asked = files.map((file) => this.query?.ask(file, holdAsked));
    const known = asked.filter((hold) => hold !== undefined);
    return known.length === files.length ? known : this.#holdsInTable(files, age);
  }

  /** Inode numbers of the files that qemu has locked, on all filesystems. */
  async lockedInodes(): Promise<ReadonlySet<bigint>> {
    const ranges = await this.#look().ranges;
    const own = ranges.filter(({ first, last }) => first >= FIRST_BYTE && last <= LAST_BYTE);
    return new Set(own.map(({ file }) => BigInt(file.slice(file.lastIndexOf(':') + 1))));
  }

  async #holdsInTable(files: readonly LockedFile[], age: 'now' | 'shown'): Promise<readonly Hold[]> {
    const ranges = await (age === 'now' ? this.#look().ranges : this.#rangesToShow());
    if (ranges.length === 0) return files.map(() => 'none');
    const mounts = deferredMounts();
    return Promise.all(files.map((file) => holdOn(file, ranges, mounts)));
  }

  /** A caller that only displays locks gets the last known state, while it is refreshed. */
  #rangesToShow(): Promise<LockedRange[]> {
    const now = performance.now();
    const known = this.#shown;
    if (this.#latest === undefined || now - this.#latest.time >= FRESH_MS) {
      const look = this.#look();
      // Callers that need the result await it; a display shows the previous state.
      look.ranges.then(
        () => (this.#shown = look),
        () => (this.#shown = undefined), // the next read fails with the same error, to its caller
      );
    }
    if (known !== undefined && now - known.time < STALE_MS) return known.ranges;
    return this.#latest?.ranges ?? this.#look().ranges;
  }

  /**
   * Reading /proc/locks takes the kernel's write lock of all file locks, and with it an RCU grace
   * period.
   */
  #look(): Look {
    this.#latest = { time: performance.now(), ranges: readFile('/proc/locks', 'utf8').then(parseLocks) };
    return this.#latest;
  }
}

/** The mount table, read once and only if needed. */
function deferredMounts(): () => Promise<Mount[]> {
  let mounts: Promise<Mount[]> | undefined;
  return () => (mounts ??= readMounts());
}

async function holdOn(file: LockedFile, ranges: readonly LockedRange[], mounts: () => Promise<Mount[]>): Promise<Hold> {
  const inode = file.inode ?? (await inodeOf(file));
  // Most files have no lock at all: then their filesystem does not matter.
  if (inode === undefined || !ranges.some((range) => range.file.endsWith(`:${String(inode)}`))) return 'none';
  const mount = await mountOf(file.handle, await mounts());
  return mount === undefined ? 'none' : holdOf(ranges, `${hexDevice(mount.device)}:${String(inode)}`);
}

async function inodeOf(file: FileRef): Promise<bigint | undefined> {
  try {
    // A name is examined without following a link; a bare handle is itself a link to its file.
    const look = file.name === undefined ? stat : lstat;
    return (await asked(file.handle, () => look(procPath(file), { bigint: true }))).ino;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** `254:0` as /proc/locks writes it: `fe:00`. */
export function hexDevice(device: string): string {
  return device
    .split(':')
    .map((number) => Number(number).toString(16).padStart(2, '0'))
    .join(':');
}
