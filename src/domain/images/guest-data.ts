/**
 * How much of a guest's disk is data: what a copy of it has to move, and the space that it takes as
 * raw.
 */
import { isClosed } from './unlocked.js';
import type { ImageFormat } from '../model/image-format.js';
import type { Chain, ImageTool, Layer, ToolRun } from '../ports/tools.js';

/** qemu's driver says of the whole disk that it is data (block/vhdx.c tells no block status). */
const WITHOUT_MAP: readonly ImageFormat[] = ['vhdx'];

/** Whether qemu can tell where its data is. */
export function hasMap(chain: Chain): boolean {
  return !chain.some(({ format }) => WITHOUT_MAP.includes(format));
}

/**
 * Bytes of data on the guest's disk. A lone raw file's are what it takes on disk, which costs no
 * child to learn; an encrypted image's tables are closed to us, so it gets the same estimate.
 */
export async function dataBytes(chain: Chain, tool: ImageTool, run: ToolRun): Promise<bigint> {
  const [{ file, format, facts, untrusted }] = chain;
  // An untrusted image is not opened in place.
  if (untrusted === 'inPlace') return file.allocatedBytes;
  // A clone's data is partly its parent's.
  const alone = format === 'raw' && file.volume?.parent === undefined && facts.snapshots.length === 0;
  if (alone || isClosed(chain)) return least(file.allocatedBytes, facts.virtualSizeBytes);
  return dataFrom(chain, () => true, tool, run);
}

/**
 * Data of the guest's disk that comes from these layers; of an encrypted image without its
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

/** What is not compressed is no more than its file takes; some filesystems count no blocks. */
function mostOf({ file: { allocatedBytes, lengthBytes } }: Layer): bigint {
  return allocatedBytes > 0n ? allocatedBytes : lengthBytes;
}

function total(parts: readonly bigint[]): bigint {
  return parts.reduce((sum, part) => sum + part, 0n);
}

function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
