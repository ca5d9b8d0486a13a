import { readFileSync, type BigIntStats } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { sizesOf } from './system-sizes.js';

/** The kernel counts block devices in these units, whatever their own sector size. */
const SECTOR_BYTES = 512n;

/** The length of a file or block device: for a device, stat reports 0. */
export async function lengthOf(stat: BigIntStats): Promise<bigint> {
  if (!stat.isBlockDevice()) return sizesOf(stat).lengthBytes;
  return bytesOf(await readFile(sizeFile(stat), 'utf8'));
}

/** The same with a synchronous call: only for worker threads. */
export function lengthNow(stat: BigIntStats): bigint {
  return stat.isBlockDevice() ? bytesOf(readFileSync(sizeFile(stat), 'utf8')) : sizesOf(stat).lengthBytes;
}

const sizeFile = ({ rdev }: BigIntStats) => `/sys/dev/block/${deviceNumbers(rdev)}/size`;
const bytesOf = (sectors: string) => BigInt(sectors.trim()) * SECTOR_BYTES;

/** `major:minor` from a 64-bit dev_t of glibc. */
export function deviceNumbers(device: bigint): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn & 0xffffffffn);
  return `${String(major)}:${String(minor)}`;
}
