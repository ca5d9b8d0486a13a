/**
 * Access control lists and capabilities of files as the kernel keeps them (acl(5),
 * linux/posix_acl_xattr.h, linux/capability.h).
 */

export const ACCESS_ACL = 'system.posix_acl_access';
export const DEFAULT_ACL = 'system.posix_acl_default';
export const CAPABILITY = 'security.capability';

const HEADER_BYTES = 4;
const ENTRY_BYTES = 8;
/** Of an entry: what it is for, what it allows, whom it names. */
const [TAG_AT, RIGHTS_AT, ID_AT] = [0, 2, 4];
const [USER, GROUP_OBJ, GROUP] = [0x02, 0x04, 0x08];

/**
 * The owner of the capabilities is behind them since revision 3; before, it is root of the host.
 */
const REVISION_MASK = 0xff000000;
const [REVISION_2, REVISION_3] = [0x02000000, 0x03000000];
const [REVISION_2_BYTES, REVISION_3_BYTES] = [20, 24];

function* entriesOf(acl: Buffer): Generator<number, void> {
  for (let at = HEADER_BYTES; at + ENTRY_BYTES <= acl.length; at += ENTRY_BYTES) yield at;
}

/**
 * What a list allows to the file's group itself, which is not what the mode shows: that is the
 * mask.
 */
export function groupRights(acl: Buffer): number {
  for (const at of entriesOf(acl))
    if (acl.readUInt16LE(at + TAG_AT) === GROUP_OBJ) return acl.readUInt16LE(at + RIGHTS_AT);
  return 0;
}

/** The same list for other ids of the users and groups that it names. */
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
 * In the namespaces of which root the capabilities count, 0 also on the host; undefined: the value
 * is none that the kernel takes.
 */
export function capabilityRoot(value: Buffer): number | undefined {
  const revision = value.length < HEADER_BYTES ? 0 : (value.readUInt32LE(0) & REVISION_MASK) >>> 0;
  if (revision === REVISION_3 && value.length === REVISION_3_BYTES) return value.readUInt32LE(REVISION_2_BYTES);
  return revision === REVISION_2 && value.length === REVISION_2_BYTES ? 0 : undefined;
}

/**
 * The same capabilities, given by another root: only in a namespace whose root that is do they
 * count.
 */
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
