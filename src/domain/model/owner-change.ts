/**
 * What becomes of the owners of files. No I/O: also the thread that walks trees works by these
 * rules.
 */

/** Unset: as it is. */
export interface OwnerIds {
  readonly uid?: number;
  readonly gid?: number;
}

/** Ids from start to start+count-1 become target to target+count-1. */
export interface IdMap {
  readonly start: number;
  readonly target: number;
  readonly count: number;
}

export type OwnerChange = ({ readonly kind: 'set' } & OwnerIds) | ({ readonly kind: 'shift' } & Shift);

export interface Shift {
  readonly uidMaps: readonly IdMap[];
  readonly gidMaps: readonly IdMap[];
  /**
   * Set-id bits and capabilities stay also where they come to be an id's of the host, on which they
   * count then.
   */
  readonly rightsOnHost: boolean;
}

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** The kernel's overflow id, for what no map knows. */
const NOBODY = 65534;

/**
 * Ids from here on are containers': 65535 is the last of the host's users, and SUB_UID_MIN of
 * login.defs(5) is 100000.
 */
const FIRST_OF_CONTAINERS = 65_536;

/**
 * Whether what a file allows as this id stays when it was another's before: programs of a
 * container's are none of the host's.
 */
export function staysAllowed(id: number, before: number, { rightsOnHost }: Shift): boolean {
  return rightsOnHost || id === before || id >= FIRST_OF_CONTAINERS;
}

/** The owner that an entry should have. */
export function changedOwner({ uid, gid }: Owner, change: OwnerChange): Owner {
  if (change.kind === 'set') return { uid: change.uid ?? uid, gid: change.gid ?? gid };
  return { uid: shiftId(uid, change.uidMaps), gid: shiftId(gid, change.gidMaps) };
}

/** Whether an entry's owner may stay if that holds for the whole tree. */
export function isSettled(owner: Owner, change: OwnerChange): boolean {
  if (change.kind === 'shift') return isShifted(owner.uid, change.uidMaps) && isShifted(owner.gid, change.gidMaps);
  const wanted = changedOwner(owner, change);
  return wanted.uid === owner.uid && wanted.gid === owner.gid;
}

/**
 * The first map that knows the id decides. An id that no map knows becomes nobody's, unless it is a
 * target already: then a walk that was interrupted has been here, and must not take the file from
 * its owner when it comes again.
 */
export function shiftId(id: number, maps: readonly IdMap[]): number {
  const map = maps.find(({ start, count }) => start <= id && id < start + count);
  if (map !== undefined) return id - map.start + map.target;
  return isShifted(id, maps) ? id : NOBODY;
}

/** Whether an id is one that a shifted tree has. */
export function isShifted(id: number, maps: readonly IdMap[]): boolean {
  return maps.length === 0 || id === NOBODY || maps.some(({ target, count }) => target <= id && id < target + count);
}
