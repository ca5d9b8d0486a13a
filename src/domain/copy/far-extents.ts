/**
 * What a far end says of where a file's data is: checked against the file's length, and never more
 * than can be held.
 */
import type { DataExtent } from '../model/block-digest.js';
import { HostlerError } from '../model/errors.js';
import { SECTOR_BYTES, roundUp } from '../model/size.js';

/** Of data, held at a time: some megabytes. */
export const MAX_EXTENTS = 65_536;
/**
 * When there are more, what lies closer together than this counts as one; then twice as far, and so
 * on.
 */
const FIRST_GRAIN = 65_536n;

/**
 * The data extents, in order; of more than `MAX_EXTENTS` those that lie close together are
 * one, whose holes are moved as zeros. Fails with REMOTE_UNREACHABLE when they are not in order,
 * overlap, are empty, or reach beyond the file.
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

/** So many bytes are data. */
export function dataOf(extents: readonly DataExtent[]): bigint {
  return extents.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0n);
}

/** Behind the last one, or as a part of it. */
function add(found: DataExtent[], extent: DataExtent, grain: bigint): void {
  const last = found.at(-1);
  if (last === undefined || extent.offsetBytes - (last.offsetBytes + last.lengthBytes) > grain) {
    found.push(extent);
    return;
  }
  const lengthBytes = extent.offsetBytes + extent.lengthBytes - last.offsetBytes;
  found[found.length - 1] = { offsetBytes: last.offsetBytes, lengthBytes, data: true };
}
