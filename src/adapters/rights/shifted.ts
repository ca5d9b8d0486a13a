/** What an entry of a shifted tree has beside owner and mode: it means the same there as before. */
import type { Stats } from 'node:fs';
import { isShifted, shiftId, staysAllowed, type IdMap, type Shift } from '../../domain/model/owner-change.js';
import { ACCESS_ACL, CAPABILITY, DEFAULT_ACL, capabilityRoot, shiftedAcl, shiftedCapability } from './acl.js';
import { Xattrs } from './xattrs.js';

let loaded: Xattrs | 'none' | undefined;

/**
 * What sets them once the entry has its new owner: the kernel takes capabilities away then. Of an
 * entry that keeps its owner only what changes. `path` leads to the entry's descriptor.
 * Capabilities that would count on the host are removed; then `onLost` is called. Fails with a
 * system error.
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
      // With the owner the kernel takes them away.
      return owner === 'stays' ? [() => xattrs.remove(path, name)] : [];
    }
    const shifted = shiftedValue(name, value, uid, gid);
    return owner === 'stays' && shifted.equals(value) ? [] : [() => xattrs.set(path, name, shifted)];
  });
}

/**
 * Whether they may stay if that holds for the whole tree: all ids in them are those of a shifted
 * one. Fails as `shiftedRights`.
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

/** Undefined where an entry of this kind has none of them, or the host has no way to read them. */
function xattrsOf(stat: Stats): Xattrs | undefined {
  const xattrs = load();
  return xattrs === 'none' || !(stat.isFile() || stat.isDirectory()) ? undefined : xattrs;
}

/** Whether this host has a way to read them. */
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
