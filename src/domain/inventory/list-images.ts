import type { Caller } from '../access/caller.js';
import type { PathScope } from '../access/path-scope.js';
import { isRbd, type ImageAddress } from '../model/address.js';
import { asHostlerError, unsupported } from '../model/errors.js';
import type { Inventory, InventoryImage, InventoryPlace } from '../ports/inventory.js';
import type { Paths } from '../ports/paths.js';
import type { PoolLists } from '../ports/pool-lists.js';
import { listPool } from './list-pool.js';
import type { InventoryFilter, ListedImage, ListedPage, ListSpec } from './list-spec.js';
import { isMadeBy, withMakers, type MakerPorts } from './makers.js';
import { asRawDisk, type IsRaw } from './raw-disk.js';

export interface InventoryPorts {
  readonly makers: MakerPorts;
  readonly paths: Paths;
  readonly scope: PathScope;
  readonly inventory: Inventory;
  readonly poolLists: PoolLists;
  readonly isRaw: IsRaw;
}

/** Images that a page may skip; the next page continues after them. */
const MAX_PASSED_OVER = 20_000;
/** Images that are requested from the inventory at once. */
const PIECE = 500;

/**
 * The place of a list or watch in a root, limited to what the caller may see. Fails as
 * `Paths.entry`.
 */
export async function placeOf(
  { address, flat }: Pick<ListSpec, 'address' | 'flat'>,
  { paths, scope, inventory }: InventoryPorts,
): Promise<InventoryPlace> {
  if (!address.startsWith('/'))
    throw unsupported('a cluster tells nobody of its changes: list the pool again', { path: address });
  const entry = await paths.entry(address, { follow: true, access: 'look' });
  try {
    return { ...inventory.locate(entry), flat, inSight: scope.inSight };
  } finally {
    await entry.handle.close();
  }
}

/**
 * A page of the images in a place, in a stable order. It may be short, or empty, without being the
 * last one. Fails with GENERATION_TOO_OLD, as `Paths.entry` or, for a pool, as `listPool`, and with
 * the signal's reason.
 */
export async function listImages(spec: ListSpec, caller: Caller, ports: InventoryPorts): Promise<ListedPage> {
  if (isRbd(spec.address)) return listPool(spec, caller, ports);
  const place = await placeOf(spec, ports);
  const { backedBy } = spec.filter;
  const base = backedBy === undefined ? undefined : await baseOf(backedBy, ports);
  const images: ListedImage[] = [];
  let from = spec.from;
  for (let looked = 0; ; looked += PIECE) {
    caller.signal.throwIfAborted();
    const wanted = Math.min(PIECE, spec.size - images.length);
    const page = await ports.inventory.page(place, from, wanted, base);
    const found = page.images.map((image) => asRawDisk(image, ports.isRaw)).filter((image) => fits(image, spec.filter));
    const made = await withMakers(found, caller, ports.makers);
    images.push(...made.filter((image) => isMadeBy(image, spec.filter)));
    const { generation, next } = page;
    const unseen = page.unseen.filter(({ path }) => ports.scope.allows({ address: path, need: 'read' }));
    if (next === undefined) return { images, generation, unseen };
    if (images.length >= spec.size || looked + PIECE >= MAX_PASSED_OVER) return { images, generation, unseen, next };
    from = next;
  }
}

/**
 * The real path of a base; for a missing one, its address. Fails as `Paths.entry`, except with
 * FILE_NOT_FOUND.
 */
async function baseOf(address: ImageAddress, { paths, inventory }: InventoryPorts): Promise<string> {
  try {
    const entry = await paths.entry(address, { follow: true, access: 'look' });
    try {
      return inventory.locate(entry).path;
    } finally {
      await entry.handle.close();
    }
  } catch (error) {
    if (asHostlerError(error).reason !== 'FILE_NOT_FOUND') throw error;
    return address;
  }
}

/** Whether an image matches the filter, by the facts in the inventory. */
function fits(
  { facts, dependants, hold, orphaned }: InventoryImage,
  { formats, hasDependants, unwrittenSinceNs, inUse, orphaned: wanted }: InventoryFilter,
): boolean {
  return (
    (formats.length === 0 || formats.includes(facts.format)) &&
    (hasDependants === undefined || hasDependants === dependants > 0) &&
    (unwrittenSinceNs === undefined || facts.modifyTimeNs < unwrittenSinceNs) &&
    (inUse === undefined || inUse === (hold !== undefined)) &&
    (wanted === undefined || wanted === orphaned)
  );
}
