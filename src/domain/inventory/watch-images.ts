import type { Caller } from '../access/caller.js';
import type { ImageAddress } from '../model/address.js';
import type { Generation, InventoryChange } from '../ports/inventory.js';
import { withMakers, type ImageWithMaker } from './makers.js';
import { placeOf, type InventoryPorts } from './list-images.js';
import { asRawDisk } from './raw-disk.js';

export interface ImageWatchSpec {
  readonly address: ImageAddress;
  readonly flat: boolean;
  /** Unset: from now on. */
  readonly since?: Generation;
}

export interface Changes {
  readonly changes: readonly (InventoryChange & { readonly image?: ImageWithMaker })[];
  /** Up to which these are all. */
  readonly generation: Generation;
}

/** After so long without a change in its place, a watcher hears how far it has come. */
const STANDS_MS = 5000;
/** Delivered together. */
const MOST_AT_ONCE = 200;

/**
 * What changes in a place, from a generation on, without end: each change once, the latest of each
 * name. The first item comes at once and may be empty; while only other places change, an empty one
 * now and then says how far it has come. A slow reader gets fewer and later changes,
 * and keeps nothing in memory. Fails with GENERATION_TOO_OLD, as `Paths.entry`, and with the
 * signal's reason.
 */
export async function* watchImages(
  spec: ImageWatchSpec,
  caller: Caller,
  ports: InventoryPorts,
): AsyncGenerator<Changes, void> {
  const { inventory } = ports;
  const place = await placeOf(spec, ports);
  let since = spec.since ?? (await inventory.page(place, undefined, 0)).generation;
  let told = { number: -1, at: -Infinity };
  for (;;) {
    caller.signal.throwIfAborted();
    const { changes, upTo } = await inventory.changes(place, since, MOST_AT_ONCE);
    since = upTo;
    const isDue = upTo.number !== told.number && performance.now() - told.at > STANDS_MS;
    if (isDue || changes.length > 0) {
      yield { changes: await completed(changes, caller, ports), generation: upTo };
      told = { number: upTo.number, at: performance.now() };
    }
    if (changes.length < MOST_AT_ONCE) await inventory.moved(place.root, since, caller.signal);
  }
}

/** With what the inventory does not know. */
async function completed(
  changes: readonly InventoryChange[],
  caller: Caller,
  { isRaw, makers }: InventoryPorts,
): Promise<Changes['changes']> {
  const images = changes.flatMap(({ image }) => (image === undefined ? [] : [asRawDisk(image, isRaw)]));
  const made = new Map((await withMakers(images, caller, makers)).map((image) => [image.position, image]));
  return changes.map((each) => {
    const image = each.image && made.get(each.image.position);
    return image === undefined ? each : { ...each, image };
  });
}
