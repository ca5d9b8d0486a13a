/** What an entry of a shifted tree has beside owner and mode: it means the same there as before. */
import type { Stats } from 'node:fs';
import { shiftId, type OwnerChange } from '../../domain/files/owner-change.js';
import { ACCESS_ACL, CAPABILITY, DEFAULT_ACL, shiftedAcl, shiftedCapability } from './acl.js';
import { Xattrs } from './xattrs.js';

type Shift = Extract<OwnerChange, { readonly kind: 'shift' }>;

let loaded: Xattrs | 'none' | undefined;

/**
 * What sets them once the entry has its new owner: the kernel takes capabilities away then. `path` leads to the entry's descriptor.
 * Fails with a system error.
 */
export function shiftedRights(path: string, stat: Stats, { uidMaps, gidMaps }: Shift): readonly (() => void)[] {
  loaded ??= Xattrs.load('target') ?? 'none';
  if (loaded === 'none' || !(stat.isFile() || stat.isDirectory())) return [];
  const xattrs = loaded;
  const [uid, gid] = [(id: number) => shiftId(id, uidMaps), (id: number) => shiftId(id, gidMaps)];
  return xattrs.names(path).flatMap((name) => {
    const isAcl = name === ACCESS_ACL || name === DEFAULT_ACL;
    const value = isAcl || name === CAPABILITY ? xattrs.get(path, name) : undefined;
    if (value === undefined) return [];
    const shifted = isAcl ? shiftedAcl(value, uid, gid) : shiftedCapability(value, uid);
    return [() => xattrs.set(path, name, shifted)];
  });
}
