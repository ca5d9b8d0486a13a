/**
 * How much of a guest's disk is data: what a copy has to move, and the space that it occupies as
 * raw.
 */
import { isClosed } from './unlocked.js';
import type { ImageFormat } from '../model/image-format.js';
import type { Chain, ImageTool, Layer, ToolRun } from '../ports/tools.js';

/** qemu's driver reports the whole disk as data (block/vhdx.c has no block status). */
const WITHOUT_MAP: readonly ImageFormat[] = ['vhdx'];

/** Whether qemu can report where the image's data is. */
export function hasMap(chain: Chain): boolean {
  return !chain.some(({ format }) => WITHOUT_MAP.includes(format));
}

/**
 * Bytes of data on the guest's disk. For a single raw file the allocated bytes are used, which
 * needs no child process; an encrypted image's tables cannot be read without the key, so it gets
 * the same estimate.
 */
export async function dataBytes(chain: Chain, tool: ImageTool, run: ToolRun): Promise<bigint> {
  const [{ file, format, facts, untrusted }] = chain;
  // An untrusted image is not opened in place.
  if (untrusted === 'inPlace') return file.allocatedBytes;
  // A part of a clone's data is its parent's.
  const alone = format === 'raw' && file.volume?.parent === undefined && facts.snapshots.length === 0;
  if (alone || isClosed(chain)) return least(file.allocatedBytes, facts.virtualSizeBytes);
  return dataFrom(chain, () => true, tool, run);
}

/**
 * Data of the guest's disk that comes from these layers; for an encrypted image without its
 * passphrase the most that it may be.
 */
export async function dataFrom(
  chain: Chain,
  wanted: (depth: number) => boolean,
  tool: ImageTool,
  run: ToolRun,
): Promise<bigint> {
  const mosts = chain.map((layer, depth) => (wanted(depth) ? mostOf(layer) : 0n));
  const most = least(total(mosts), chain[0].facts.virtualSizeBytes);
  if (isClosed(chain)) return most;
  const sums = chain.map(() => 0n);
  for await (const { data, zero, lengthBytes, depth } of tool.map(chain, run))
    if (data && !zero && wanted(depth)) sums[depth] = (sums[depth] ?? 0n) + lengthBytes;
  return total(
    chain.map(({ format }, depth) => {
      const sum = sums[depth] ?? 0n;
      return WITHOUT_MAP.includes(format) ? least(sum, mosts[depth] ?? 0n) : sum;
    }),
  );
}

/** Uncompressed data is no more than the file's allocated bytes; some filesystems report none. */
function mostOf({ file: { allocatedBytes, lengthBytes } }: Layer): bigint {
  return allocatedBytes > 0n ? allocatedBytes : lengthBytes;
}

function total(parts: readonly bigint[]): bigint {
  return parts.reduce((sum, part) => sum + part, 0n);
}

function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
