/** Pages of lists, bounded in bytes as well as in items. */
import type { BinaryWriter } from '@bufbuild/protobuf/wire';

/** Half of what clients take in one message, so that a page has room for one large item. */
const MAX_PAGE_BYTES = 2 * 1024 * 1024;

/** The first of the items, as many as fit into one page; at least one. */
export function fitting<T>(items: readonly T[], encode: (item: T) => BinaryWriter): T[] {
  let bytes = 0;
  const end = items.findIndex((item, index) => {
    bytes += encode(item).finish().length;
    return bytes > MAX_PAGE_BYTES && index > 0;
  });
  return items.slice(0, end === -1 ? items.length : end);
}
