/** Access lists as the kernel keeps them (linux/posix_acl_xattr.h). */
const [USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER] = [1, 2, 4, 8, 16, 32];
const NOBODY_NAMED = 2 ** 32 - 1;

/** Nobody of this host: whom the lists of the tests name. */
export const GUEST = 64_055;

type Entry = readonly [tag: number, rights: number, id?: number];

function acl(...entries: readonly Entry[]): Buffer {
  const list = Buffer.alloc(4 + entries.length * 8);
  list.writeUInt32LE(2, 0);
  for (const [n, [tag, rights, id = NOBODY_NAMED]] of entries.entries()) {
    list.writeUInt16LE(tag, 4 + n * 8);
    list.writeUInt16LE(rights, 6 + n * 8);
    list.writeUInt32LE(id, 8 + n * 8);
  }
  return list;
}

/**
 * A user may read and write, a group may read, the file's own group may nothing; the mode shows
 * 0660.
 */
export function listFor(user = GUEST, group = 50): Buffer {
  return acl([USER_OBJ, 6], [USER, 6, user], [GROUP_OBJ, 0], [GROUP, 4, group], [MASK, 6], [OTHER, 0]);
}
