/**
 * Who holds images: qemu's locks in /proc/locks, and the processes that have the files open.
 * Synchronous calls: for threads of their own.
 */
import { readFileSync, readdirSync, readlinkSync, type BigIntStats } from 'node:fs';
import type { Hold } from '../../domain/ports/inventory.js';
import { parseMountinfo, type Mount } from '../linux/mounts.js';
import { look } from '../linux/sync-look.js';
import { hexDevice, holdOf, parseLocks, type LockedRange } from '../qemu/qemu-locks.js';

/** So old may be what is shown. Reading the locks stops all locking of the host for some 10 ms. */
const FRESH_MS = 100;

/** Of one list: what was read is used for all images that are looked at soon after. */
export class Holds {
  #readAt = -Infinity;
  #ranges = new Map<string, LockedRange[]>();
  #mounts: readonly Mount[] | undefined;
  #pids: ReadonlyMap<string, number> | undefined;

  /** @param path of the file, as bytes, a character each */
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

  /** The one that the path lies on; the last one covers those before it. */
  #mountOf(path: string): Mount | undefined {
    this.#mounts ??= parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'));
    const isIn = (point: string) => point === '/' || path.startsWith(`${point}/`);
    const over = this.#mounts.filter(({ mountPoint }) => isIn(Buffer.from(mountPoint).toString('latin1')));
    const longest = Math.max(...over.map(({ mountPoint }) => mountPoint.length));
    return over.findLast(({ mountPoint }) => mountPoint.length === longest);
  }

  /** The first process that has each file open, by its path. */
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

/** A number of a device as `major:minor`. */
function numbersOf(device: bigint): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn);
  return `${String(major)}:${String(minor)}`;
}
