import { readFileSync, type BigIntStats } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { sizesOf } from './system-sizes.js';

/** What the kernel counts block devices in, whatever their own sectors are. */
const SECTOR_BYTES = 512n;

/** The length of a file or block device: stat says 0 of the latter. */
export async function lengthOf(stat: BigIntStats): Promise<bigint> {
  if (!stat.isBlockDevice()) return sizesOf(stat).lengthBytes;
  return bytesOf(await readFile(sizeFile(stat), 'utf8'));
}

/** The same with a synchronous call: only for threads of their own. */
export function lengthNow(stat: BigIntStats): bigint {
  return stat.isBlockDevice() ? bytesOf(readFileSync(sizeFile(stat), 'utf8')) : sizesOf(stat).lengthBytes;
}

const sizeFile = ({ rdev }: BigIntStats) => `/sys/dev/block/${deviceNumbers(rdev)}/size`;
const bytesOf = (sectors: string) => BigInt(sectors.trim()) * SECTOR_BYTES;

/** `major:minor` of what glibc packs into 64 bits. */
export function deviceNumbers(device: bigint): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn & 0xffffffffn);
  return `${String(major)}:${String(minor)}`;
}
