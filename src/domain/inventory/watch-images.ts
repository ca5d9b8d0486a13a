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
  /** The generation up to which these changes are complete. */
  readonly generation: Generation;
}

/** After this time without a change in its place, a watcher is told its current position. */
const STANDS_MS = 5000;
/** Changes that are delivered together. */
const MOST_AT_ONCE = 200;

/**
 * Changes in a place, from a generation on, without end: each change once, and for each name only
 * the latest. The first item is sent at once and may be empty; while only other places change, an
 * empty item now and then tells the current position. A slow reader gets fewer and later changes,
 * and uses no memory. Fails with GENERATION_TOO_OLD, as `Paths.entry`, and with the signal's
 * reason.
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

/** Adds facts that are not in the inventory. */
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
