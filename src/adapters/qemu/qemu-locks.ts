import { lstat, readFile, stat } from 'node:fs/promises';
import type { ImageLocks } from '../../domain/ports/images.js';
import { errnoOf } from '../linux/errno.js';
import { asked } from '../gates/handles.js';
import { holderOf } from './holders.js';
import type { FirstLock, LockQuery } from '../gates/lock-query.js';
import { mountOf, readMounts, type Mount } from '../linux/mounts.js';
import { procPath } from '../linux/proc-path.js';
import type { FileIdentity, FileRef } from '../../domain/ports/handles.js';

/**
 * qemu locks single bytes of an image (block/file-posix.c): byte 100 + n says that permission n is
 * used, 200 + n that it is not shared. Permission 1 is writing, 3 resizing; 0 (consistent read) is
 * what a reader holds.
 */
const FIRST_BYTE = 100n;
const LAST_BYTE = 203n;
const WRITER_BYTES: readonly bigint[] = [101n, 103n];

/**
 * What is only shown is looked up again after so long, and not shown when it is older than that.
 */
const [FRESH_MS, STALE_MS] = [25, 100];

type Hold = 'none' | 'reader' | 'writer';

/** Bytes of a file on which somebody has a lock. */
export interface LockedRange {
  /** `major:minor:inode`, as /proc/locks has it. */
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
 * The same by asking. Undefined where others than qemu have locks too, which may hide those of
 * qemu.
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
 * Looks for qemu's byte locks: asks for those of one file where that can be done, and reads
 * /proc/locks where not. Nothing is locked for it.
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

  /** Numbers of the inodes that qemu holds, on whatever filesystem they lie. */
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

  /** A caller that only displays it gets the last known state, while it is looked up again. */
  #rangesToShow(): Promise<LockedRange[]> {
    const now = performance.now();
    const known = this.#shown;
    if (this.#latest === undefined || now - this.#latest.time >= FRESH_MS) {
      const look = this.#look();
      // Awaited by those that need it; a display shows the state that was read last.
      look.ranges.then(
        () => (this.#shown = look),
        () => (this.#shown = undefined), // the next look fails with the same error, to its caller
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

/** A file with what is known of it; a bare reference is looked at. */
type LockedFile = FileRef & Partial<FileIdentity>;

/** The table of mounts, read once and only when it is needed. */
function deferredMounts(): () => Promise<Mount[]> {
  let mounts: Promise<Mount[]> | undefined;
  return () => (mounts ??= readMounts());
}

async function holdOn(file: LockedFile, ranges: readonly LockedRange[], mounts: () => Promise<Mount[]>): Promise<Hold> {
  const inode = file.inode ?? (await inodeOf(file));
  // Most files are in no line at all: then it does not matter which filesystem they lie on.
  if (inode === undefined || !ranges.some((range) => range.file.endsWith(`:${String(inode)}`))) return 'none';
  const mount = await mountOf(file.handle, await mounts());
  return mount === undefined ? 'none' : holdOf(ranges, `${hexDevice(mount.device)}:${String(inode)}`);
}

async function inodeOf(file: FileRef): Promise<bigint | undefined> {
  try {
    // A name is looked at as it is; a bare handle is itself a link to what it names.
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
