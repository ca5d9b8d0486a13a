/**
 * Which processes hold images: qemu's locks in /proc/locks, and the processes that have the files
 * open. Makes synchronous calls, for worker threads.
 */
import { readFileSync, readdirSync, readlinkSync, type BigIntStats } from 'node:fs';
import type { Hold } from '../../domain/ports/inventory.js';
import { parseMountinfo, type Mount } from '../linux/mounts.js';
import { look } from '../linux/sync-look.js';
import { hexDevice, holdOf, parseLocks, type LockedRange } from '../qemu/qemu-locks.js';

/**
 * Maximum age of the locks that are shown. Reading them blocks all locking on the host for some 10
 * ms.
 */
const FRESH_MS = 100;

/** The holds for one list: what was read is used for all images that are examined soon after. */
export class Holds {
  #readAt = -Infinity;
  #ranges = new Map<string, LockedRange[]>();
  #mounts: readonly Mount[] | undefined;
  #pids: ReadonlyMap<string, number> | undefined;

  /** @param path of the file in bytes, one character each */
  of(path: string, stat: BigIntStats): Hold | undefined {
    this.#refresh();
    const ranges = this.#ranges.get(String(stat.ino));
    if (ranges === undefined) return undefined;
    const devices = [numbersOf(stat.dev), this.#mountOf(path)?.device ?? ''].map(hexDevice);
    const holds = devices.map((device) => holdOf(ranges, `${device}:${String(stat.ino)}`));
    if (holds.every((hold) => hold === 'none')) return undefined;
    const pid = this.#openFiles().get(path);
    return { writes: holds.includes('writer'), ...(pid === undefined ? {} : { pid }) };
  }

  #refresh(): void {
    if (performance.now() - this.#readAt < FRESH_MS) return;
    const ranges = parseLocks(readFileSync('/proc/locks', 'utf8'));
    this.#ranges = Map.groupBy(ranges, ({ file }) => file.slice(file.lastIndexOf(':') + 1));
    this.#readAt = performance.now();
    this.#mounts = this.#pids = undefined;
  }

  /** The mount of the path; a later mount covers earlier ones. */
  #mountOf(path: string): Mount | undefined {
    this.#mounts ??= parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'));
    const isIn = (point: string) => point === '/' || path.startsWith(`${point}/`);
    const over = this.#mounts.filter(({ mountPoint }) => isIn(Buffer.from(mountPoint).toString('latin1')));
    const longest = Math.max(...over.map(({ mountPoint }) => mountPoint.length));
    return over.findLast(({ mountPoint }) => mountPoint.length === longest);
  }

  /** For each open file, by its path, the first process that has it open. */
  #openFiles(): ReadonlyMap<string, number> {
    if (this.#pids !== undefined) return this.#pids;
    const found = new Map<string, number>();
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)) {
      const folder = `/proc/${pid}/fd`;
      for (const fd of look(() => readdirSync(folder)) ?? []) {
        const path = look(() => readlinkSync(`${folder}/${fd}`, 'latin1'));
        if (path?.startsWith('/') === true && !found.has(path)) found.set(path, Number(pid));
      }
    }
    return (this.#pids = found);
  }
}

/** A device number as `major:minor`. */
function numbersOf(device: bigint): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn);
  return `${String(major)}:${String(minor)}`;
}
