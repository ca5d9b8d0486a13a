/**
 * Pages of lists, limited in bytes as well as in items, and built in slices, so that other work
 * gets a turn.
 */
import type { BinaryWriter } from '@bufbuild/protobuf/wire';
import { inTurns } from '../domain/model/async.js';

/**
 * Far below what clients accept: the whole page is serialised at once, which blocks other work for
 * 5 ms. One item may be larger.
 */
const MAX_PAGE_BYTES = 256 * 1024;
/** Items in one slice; an item takes up to 0.1 ms. */
const ITEMS_AT_ONCE = 20;

/**
 * The first of the items as messages, as many as fit into one page; at least one. Fails with the
 * signal's reason.
 */
export async function pageOf<T, M>(
  items: readonly T[],
  show: (item: T) => M,
  encode: (message: M) => BinaryWriter,
  signal: AbortSignal,
): Promise<M[]> {
  const page: M[] = [];
  await inTurns(slices(items, show, encode, page), signal);
  return page;
}

function* slices<T, M>(
  items: readonly T[],
  show: (item: T) => M,
  encode: (message: M) => BinaryWriter,
  page: M[],
): Generator<void, void> {
  let bytes = 0;
  for (const [index, item] of items.entries()) {
    const message = show(item);
    bytes += encode(message).finish().length;
    if (bytes > MAX_PAGE_BYTES && index > 0) return;
    page.push(message);
    if (index % ITEMS_AT_ONCE === ITEMS_AT_ONCE - 1) yield;
  }
}
