/**
 * Attributes beyond owner and mode of an entry in a shifted tree, which keep their meaning there.
 */
import type { Stats } from 'node:fs';
import { isShifted, shiftId, staysAllowed, type IdMap, type Shift } from '../../domain/model/owner-change.js';
import { ACCESS_ACL, CAPABILITY, DEFAULT_ACL, capabilityRoot, shiftedAcl, shiftedCapability } from './acl.js';
import { Xattrs } from './xattrs.js';

let loaded: Xattrs | 'none' | undefined;

/**
 * Returns calls that set the attributes once the entry has its new owner, because the kernel
 * removes capabilities on a change of owner. For an entry that keeps its owner, only the changes.
 * `path` leads to the entry's descriptor. Capabilities that would be effective on the host are
 * removed; then `onLost` is called. Fails with a system error.
 */
export function shiftedRights(
  path: string,
  stat: Stats,
  change: Shift,
  owner: 'changes' | 'stays',
  onLost: () => void,
): readonly (() => void)[] {
  const xattrs = xattrsOf(stat);
  if (xattrs === undefined) return [];
  const [uid, gid] = [(id: number) => shiftId(id, change.uidMaps), (id: number) => shiftId(id, change.gidMaps)];
  return namesOf(xattrs, path).flatMap((name) => {
    const value = xattrs.get(path, name);
    if (value === undefined) return [];
    const root = name === CAPABILITY ? capabilityRoot(value) : undefined;
    if (root !== undefined && !staysAllowed(uid(root), root, change)) {
      onLost();
      // The kernel removes them on a change of owner.
      return owner === 'stays' ? [() => xattrs.remove(path, name)] : [];
    }
    const shifted = shiftedValue(name, value, uid, gid);
    return owner === 'stays' && shifted.equals(value) ? [] : [() => xattrs.set(path, name, shifted)];
  });
}

/**
 * Whether the attributes may stay if that is true for the whole tree: all ids in them are shifted.
 * Fails as `shiftedRights`.
 */
export function areShifted(path: string, stat: Stats, { uidMaps, gidMaps }: Shift): boolean {
  const xattrs = xattrsOf(stat);
  if (xattrs === undefined) return true;
  let all = true;
  const look = (maps: readonly IdMap[]) => (id: number) => {
    all &&= isShifted(id, maps);
    return id;
  };
  for (const name of namesOf(xattrs, path)) {
    const value = xattrs.get(path, name);
    if (value !== undefined) shiftedValue(name, value, look(uidMaps), look(gidMaps));
  }
  return all;
}

/** Undefined if an entry of this kind has none, or the host cannot read them. */
function xattrsOf(stat: Stats): Xattrs | undefined {
  const xattrs = load();
  return xattrs === 'none' || !(stat.isFile() || stat.isDirectory()) ? undefined : xattrs;
}

/** Whether this host can read extended attributes. */
export function hasXattrs(): boolean {
  return load() !== 'none';
}

function load(): Xattrs | 'none' {
  loaded ??= Xattrs.load('target') ?? 'none';
  return loaded;
}

function namesOf(xattrs: Xattrs, path: string): readonly string[] {
  return xattrs.names(path).filter((name) => [ACCESS_ACL, DEFAULT_ACL, CAPABILITY].includes(name));
}

function shiftedValue(name: string, value: Buffer, uid: (id: number) => number, gid: (id: number) => number): Buffer {
  return name === CAPABILITY ? shiftedCapability(value, uid) : shiftedAcl(value, uid, gid);
}
