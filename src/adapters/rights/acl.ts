/**
 * Access control lists and capabilities of files in the kernel's format (acl(5),
 * linux/posix_acl_xattr.h, linux/capability.h).
 */

export const ACCESS_ACL = 'system.posix_acl_access';
export const DEFAULT_ACL = 'system.posix_acl_default';
export const CAPABILITY = 'security.capability';

const HEADER_BYTES = 4;
const ENTRY_BYTES = 8;
/** Offsets in an entry: its tag, its permissions, its id. */
const [TAG_AT, RIGHTS_AT, ID_AT] = [0, 2, 4];
const [USER, GROUP_OBJ, GROUP] = [0x02, 0x04, 0x08];

/** Since revision 3 the root id of the capabilities follows them; before, it is the host's root. */
const REVISION_MASK = 0xff000000;
const [REVISION_2, REVISION_3] = [0x02000000, 0x03000000];
const [REVISION_2_BYTES, REVISION_3_BYTES] = [20, 24];

function* entriesOf(acl: Buffer): Generator<number, void> {
  for (let at = HEADER_BYTES; at + ENTRY_BYTES <= acl.length; at += ENTRY_BYTES) yield at;
}

/** The permissions of the file's group in a list. The mode shows the mask instead. */
export function groupRights(acl: Buffer): number {
  for (const at of entriesOf(acl))
    if (acl.readUInt16LE(at + TAG_AT) === GROUP_OBJ) return acl.readUInt16LE(at + RIGHTS_AT);
  return 0;
}

/** The list with the ids of its users and groups translated. */
export function shiftedAcl(acl: Buffer, uid: (id: number) => number, gid: (id: number) => number): Buffer {
  const shifted = Buffer.from(acl);
  for (const at of entriesOf(acl)) {
    const tag = acl.readUInt16LE(at + TAG_AT);
    const shift = tag === USER ? uid : tag === GROUP ? gid : undefined;
    if (shift !== undefined) shifted.writeUInt32LE(shift(acl.readUInt32LE(at + ID_AT)), at + ID_AT);
  }
  return shifted;
}

/**
 * The root id of the namespaces in which the capabilities are effective, 0 for the host as well;
 * undefined: the kernel accepts no such value.
 */
export function capabilityRoot(value: Buffer): number | undefined {
  const revision = value.length < HEADER_BYTES ? 0 : (value.readUInt32LE(0) & REVISION_MASK) >>> 0;
  if (revision === REVISION_3 && value.length === REVISION_3_BYTES) return value.readUInt32LE(REVISION_2_BYTES);
  return revision === REVISION_2 && value.length === REVISION_2_BYTES ? 0 : undefined;
}

/** The capabilities with another root id: they are effective only in a namespace with that root. */
export function shiftedCapability(value: Buffer, uid: (id: number) => number): Buffer {
  const before = capabilityRoot(value);
  if (before === undefined) return value;
  const root = uid(before);
  if (value.length === REVISION_2_BYTES && root === 0) return value;
  const shifted = Buffer.alloc(REVISION_3_BYTES);
  value.copy(shifted, 0, 0, REVISION_2_BYTES);
  shifted.writeUInt32LE(((value.readUInt32LE(0) & ~REVISION_MASK) | REVISION_3) >>> 0, 0);
  shifted.writeUInt32LE(root, REVISION_2_BYTES);
  return shifted;
}
