/** Rules for changes of owners. No I/O: the thread that walks trees uses them too. */

/** Unset: unchanged. */
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
   * Whether set-id bits and capabilities stay even if their new id is one of the host, where they
   * become effective.
   */
  readonly rightsOnHost: boolean;
}

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** The kernel's overflow id, for ids that no map contains. */
const NOBODY = 65534;

/**
 * Ids from here on belong to containers: 65535 is the last of the host's users, and SUB_UID_MIN of
 * login.defs(5) is 100000.
 */
const FIRST_OF_CONTAINERS = 65_536;

/**
 * Whether set-id rights may stay when a file gets this id: programs of a container must not get
 * rights of the host.
 */
export function staysAllowed(id: number, before: number, { rightsOnHost }: Shift): boolean {
  return rightsOnHost || id === before || id >= FIRST_OF_CONTAINERS;
}

/** The owner that an entry should have. */
export function changedOwner({ uid, gid }: Owner, change: OwnerChange): Owner {
  if (change.kind === 'set') return { uid: change.uid ?? uid, gid: change.gid ?? gid };
  return { uid: shiftId(uid, change.uidMaps), gid: shiftId(gid, change.gidMaps) };
}

/** Whether an entry's owner may stay if that is true for the whole tree. */
export function isSettled(owner: Owner, change: OwnerChange): boolean {
  if (change.kind === 'shift') return isShifted(owner.uid, change.uidMaps) && isShifted(owner.gid, change.gidMaps);
  const wanted = changedOwner(owner, change);
  return wanted.uid === owner.uid && wanted.gid === owner.gid;
}

/**
 * The first map that contains the id decides. An id that no map contains becomes the overflow id,
 * unless it is a target already: then an interrupted walk has changed it, and a repeated walk must
 * not change it again.
 */
export function shiftId(id: number, maps: readonly IdMap[]): number {
  const map = maps.find(({ start, count }) => start <= id && id < start + count);
  if (map !== undefined) return id - map.start + map.target;
  return isShifted(id, maps) ? id : NOBODY;
}

/** Whether a shifted tree can contain this id. */
export function isShifted(id: number, maps: readonly IdMap[]): boolean {
  return maps.length === 0 || id === NOBODY || maps.some(({ target, count }) => target <= id && id < target + count);
}
