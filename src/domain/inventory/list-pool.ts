import type { Caller } from '../access/caller.js';
import type { PathScope } from '../access/path-scope.js';
import { parsePoolAddress, type ImageAddress } from '../model/address.js';
import { invalidFields, unsupported } from '../model/errors.js';
import type { PoolImage, PoolList, PoolLists } from '../ports/pool-lists.js';
import type { InventoryFilter, ListedImage, ListedPage, ListSpec } from './list-spec.js';
import { isMadeBy, withMakers, type MakerPorts } from './makers.js';

export interface PoolListPorts {
  readonly makers: MakerPorts;
  readonly poolLists: PoolLists;
  readonly scope: PathScope;
}

/** Images that are compared with the filter at once. */
const PIECE = 500;

/**
 * A page of the images in a pool or in a namespace of it. Fails with UNSUPPORTED_BY_BACKEND for a
 * filter by what a cluster does not list, as `PoolLists`, and with the signal's reason.
 */
export async function listPool(spec: ListSpec, caller: Caller, ports: PoolListPorts): Promise<ListedPage> {
  const { filter, from } = spec;
  const place = parsePoolAddress(spec.address);
  if ('problem' in place) throw invalidFields([{ field: 'path', description: place.problem }]);
  assertListed(filter, spec.address);
  const where = place.namespace === undefined && spec.flat ? { ...place, namespace: '' } : place;
  const list = from === undefined ? await ports.poolLists.begin(where) : ports.poolLists.kept(where, from.life);
  const found: ListedImage[] = [];
  for (let at = from?.number ?? 0; at < list.images.length; at += PIECE) {
    caller.signal.throwIfAborted();
    const piece = list.images.slice(at, at + PIECE).map((image, index) => listed(image, list, at + index, ports.scope));
    const fitting = piece.filter((image) => fits(image, filter, ports.scope));
    const made = await withMakers(fitting, caller, ports.makers);
    found.push(...made.filter((image) => isMadeBy(image, filter)));
    const next = found[spec.size - 1]?.position;
    if (next !== undefined && (next.number < list.images.length || found.length > spec.size))
      return { images: found.slice(0, spec.size), next, unseen: seenBy(list, ports.scope) };
  }
  return { images: found, unseen: seenBy(list, ports.scope) };
}

/** A cluster lists no times, and knows no folders of instances. */
function assertListed({ unwrittenSinceNs, orphaned }: InventoryFilter, path: ImageAddress): void {
  const field = unwrittenSinceNs === undefined ? (orphaned === undefined ? undefined : 'orphaned') : 'unwritten_since';
  if (field !== undefined) throw unsupported(`the images of a pool cannot be chosen by ${field}`, { path, field });
}

function listed(
  { address, device, inode, virtualSizeBytes, allocatedBytes, parent, held }: PoolImage,
  { life, clones }: PoolList,
  index: number,
  scope: PathScope,
): ListedImage {
  const visible = (clones.get(address) ?? []).filter((clone) => scope.allows({ address: clone, need: 'read' }));
  return {
    path: address,
    position: { life, number: index + 1, folder: '', name: '' },
    facts: {
      ...{ device, inode, virtualSizeBytes, lengthBytes: virtualSizeBytes, format: 'raw', findings: [] },
      ...(parent === undefined ? {} : { backingFile: parent, backingFormat: 'raw' }),
      ...{ encrypted: false, dirty: false, corrupt: false },
    },
    allocatedBytes,
    dependants: visible.length,
    ...(held ? { hold: { writes: true } } : {}),
    orphaned: false,
  };
}

function fits(
  { path, facts, dependants, hold }: ListedImage,
  { formats, hasDependants, inUse, backedBy }: InventoryFilter,
  scope: PathScope,
): boolean {
  const { backingFile: parent = '' } = facts;
  return (
    scope.allows({ address: path, need: 'read' }) &&
    (formats.length === 0 || formats.includes('raw')) &&
    (hasDependants === undefined || hasDependants === dependants > 0) &&
    (inUse === undefined || inUse === (hold !== undefined)) &&
    (backedBy === undefined || parent === backedBy || parent.startsWith(`${backedBy}@`))
  );
}

function seenBy({ unseen }: PoolList, scope: PathScope): ListedPage['unseen'] {
  return unseen.filter(({ path }) => scope.allows({ address: path, need: 'read' }));
}
