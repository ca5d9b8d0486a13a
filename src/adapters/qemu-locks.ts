import { lstat, readFile, stat } from 'node:fs/promises';
import type { FileRef, ImageLocks } from '../domain/ports.js';
import { errnoOf } from './errno.js';
import { procPath } from './handles.js';
import { holderOf } from './holders.js';
import { mountOf, readMounts } from './mounts.js';

/**
 * qemu locks single bytes of an image (block/file-posix.c): byte 100 + n says that permission n is used, 200 + n that it is
 * not shared. Permission 1 is writing, 3 resizing; 0 (consistent read) is what a reader holds.
 */
const FIRST_BYTE = 100n;
const LAST_BYTE = 203n;
const WRITER_BYTES: readonly bigint[] = [101n, 103n];

type Hold = 'none' | 'reader' | 'writer';

interface LockedRange {
  /** `major:minor:inode`, as /proc/locks has it. */
  readonly file: string;
  readonly first: bigint;
  readonly last: bigint;
}

/** Lines such as `7: OFDLCK ADVISORY READ -1 fe:00:1234 100 101`; device numbers are hexadecimal. */
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

/** Looks qemu's byte locks up in /proc/locks; nothing is opened or locked for it. */
export class QemuLocks implements ImageLocks {
  #latest: { readonly time: number; readonly ranges: Promise<LockedRange[]> } | undefined;

  holder(file: FileRef): Promise<number | undefined> {
    return holderOf(file);
  }

  async holds(files: readonly FileRef[], maxAgeMs = 0): Promise<readonly Hold[]> {
    const ranges = await this.#ranges(maxAgeMs);
    if (ranges.length === 0) return files.map(() => 'none');
    const mounts = await readMounts();
    return Promise.all(
      files.map(async (file) => {
        // A name is looked at as it is; a bare handle is itself a link to what it names.
        const found = await (file.name === undefined ? stat : lstat)(procPath(file), { bigint: true }).catch(
          (error: unknown) => {
            if (errnoOf(error) === 'ENOENT') return undefined;
            throw error;
          },
        );
        if (found === undefined) return 'none';
        const { ino } = found;
        const mount = await mountOf(file.handle, mounts);
        return mount === undefined ? 'none' : holdOf(ranges, `${hexDevice(mount.device)}:${String(ino)}`);
      }),
    );
  }

  /** Reading /proc/locks takes the kernel's write lock of all file locks, and with it an RCU grace period. */
  #ranges(maxAgeMs: number): Promise<LockedRange[]> {
    const now = performance.now();
    if (this.#latest === undefined || now - this.#latest.time >= maxAgeMs) {
      this.#latest = { time: now, ranges: readFile('/proc/locks', 'utf8').then(parseLocks) };
    }
    return this.#latest.ranges;
  }
}

/** `254:0` as /proc/locks writes it: `fe:00`. */
function hexDevice(device: string): string {
  return device
    .split(':')
    .map((number) => Number(number).toString(16).padStart(2, '0'))
    .join(':');
}
