/**
 * The extents that a remote host reports, checked against the file's length and limited in number.
 */
import type { DataExtent } from '../model/block-digest.js';
import { HostlerError } from '../model/errors.js';
import { SECTOR_BYTES, roundUp } from '../model/size.js';

/** Limit of data extents in memory: some megabytes. */
export const MAX_EXTENTS = 65_536;
/**
 * Beyond the limit, extents with smaller gaps than this are merged; then the limit doubles, and so
 * on.
 */
const FIRST_GRAIN = 65_536n;

/**
 * The data extents, in order. If there are more than `MAX_EXTENTS`, extents close together are
 * merged, and their holes are moved as zeros. Fails with REMOTE_UNREACHABLE if they are not in
 * order, overlap, are empty, or exceed the file.
 */
export async function dataExtents(
  extents: AsyncIterable<DataExtent>,
  file: { readonly lengthBytes: bigint; readonly host: string },
): Promise<DataExtent[]> {
  const end = roundUp(file.lengthBytes, SECTOR_BYTES);
  let [found, reached, grain]: [DataExtent[], bigint, bigint] = [[], 0n, 0n];
  for await (const extent of extents) {
    const { offsetBytes, lengthBytes, data } = extent;
    if (offsetBytes < reached || lengthBytes <= 0n || offsetBytes + lengthBytes > end)
      throw new HostlerError('REMOTE_UNREACHABLE', `${file.host} reports impossible extents of the file`, {
        facts: { host: file.host, offset: String(offsetBytes), length: String(lengthBytes) },
      });
    reached = offsetBytes + lengthBytes;
    if (!data) continue;
    add(found, extent, grain);
    while (found.length > MAX_EXTENTS) {
      grain = grain === 0n ? FIRST_GRAIN : grain * 2n;
      const coarser: DataExtent[] = [];
      for (const each of found) add(coarser, each, grain);
      found = coarser;
    }
  }
  return found;
}

/** Total bytes of data. */
export function dataOf(extents: readonly DataExtent[]): bigint {
  return extents.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0n);
}

/** Appends an extent, or merges it with the last one. */
function add(found: DataExtent[], extent: DataExtent, grain: bigint): void {
  const last = found.at(-1);
  if (last === undefined || extent.offsetBytes - (last.offsetBytes + last.lengthBytes) > grain) {
    found.push(extent);
    return;
  }
  const lengthBytes = extent.offsetBytes + extent.lengthBytes - last.offsetBytes;
  found[found.length - 1] = { offsetBytes: last.offsetBytes, lengthBytes, data: true };
}
