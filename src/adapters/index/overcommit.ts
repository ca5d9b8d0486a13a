/** By how much images may still grow. Makes synchronous calls, so it runs in a worker thread. */
import { closeSync, fstatSync, lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { cached } from '../../domain/formats/head.js';
import { detectFormat } from '../../domain/formats/magic.js';
import { READERS } from '../../domain/formats/readers.js';
import { rest, uint64 } from '../../domain/model/numbers.js';
import type { BadFile } from './bad-files.js';
import { PRIVATE_PREFIX } from '../paths/private-folders.js';
import { look, openToLook, sourceOf } from '../linux/sync-look.js';
import { birthOf, sizesOf } from '../linux/system-sizes.js';

/**
 * For each device (as numbered by stat) below the folders: the virtual sizes of images beyond their
 * allocated bytes. The format is taken from the content, which a guest can forge in a raw disk: the
 * figure is for planning only, and is limited to 2^64-1.
 */
export async function overcommitted(
  folders: readonly string[],
  closed: readonly string[],
  /** Called for each file that begins as an image but cannot be read as one. */
  onBad: (bad: BadFile) => void,
): Promise<ReadonlyMap<bigint, bigint>> {
  const sums = new Map<bigint, bigint>();
  // One file may have several names and lie in several roots.
  const seen = new Set<string>();
  const visit = async (folder: string): Promise<void> => {
    if (closed.includes(folder)) return;
    for (const entry of look(() => readdirSync(folder, { withFileTypes: true })) ?? []) {
      const path = join(folder, entry.name);
      if (entry.isDirectory() && !entry.name.startsWith(PRIVATE_PREFIX)) await visit(path);
      const stat = entry.isFile() ? look(() => lstatSync(path, { bigint: true })) : undefined;
      if (stat?.isFile() !== true) continue;
      const { lengthBytes, allocatedBytes } = sizesOf(stat);
      const file = { device: stat.dev, inode: stat.ino, ...birthOf(stat), lengthBytes: stat.size };
      const size = await virtualSize(path, lengthBytes, (why) => {
        onBad({ path, why, file });
      });
      const growth = rest(size, allocatedBytes);
      const identity = `${String(stat.dev)} ${String(stat.ino)}`;
      if (growth === 0n || seen.has(identity)) continue;
      seen.add(identity);
      sums.set(stat.dev, uint64((sums.get(stat.dev) ?? 0n) + growth));
    }
  };
  for (const folder of folders) await visit(folder);
  return sums;
}

/**
 * A broken header counts as no growth, and a file that cannot be read affects no other file: a
 * guest may have written it.
 */
async function virtualSize(path: string, length: bigint, onBad: (why: string) => void): Promise<bigint> {
  const fd = openToLook(path);
  if (fd === undefined) return length;
  try {
    const bytes = cached(sourceOf(fd, fstatSync(fd).size));
    const format = await detectFormat(bytes);
    if (format === 'raw') return length;
    const { virtualSizeBytes, extentNames } = await READERS[format](bytes);
    // Data files are counted themselves.
    return extentNames === undefined ? virtualSizeBytes : length;
  } catch (error) {
    onBad(error instanceof Error ? error.message : String(error));
    return length;
  } finally {
    closeSync(fd);
  }
}
