/**
 * The size of the extents that a filesystem allocates for a file (ioctl_xfs_fsgetxattr(2)), through
 * koffi.
 */
import { loadKoffi } from './koffi.js';

const [FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR] = [0x801c581f, 0x401c5820];
/** struct fsxattr. */
const ATTRIBUTES_BYTES = 28;
const [FLAGS_AT, EXTENT_SIZE_AT] = [0, 4];
const HAS_EXTENT_SIZE = 0x800;
/** The only filesystem that has a size of extents for each file. */
const XFS = 0x58465342n;
const ioctl = loadKoffi()?.load(null).func('ioctl', 'int', ['int', 'ulong', 'void *']);

/** @param type of the filesystem, as statfs(2) tells */
export function hasExtentSize(type: bigint): boolean {
  return type === XFS;
}

/**
 * Asks the filesystem, in a thread, to allocate at least this much at a time for an open file that
 * is still empty. It is only a hint: a filesystem that does not support it answers with an error,
 * which has no effect.
 */
export async function hintExtentSize(fd: number, bytes: number): Promise<void> {
  const attributes = Buffer.alloc(ATTRIBUTES_BYTES);
  if (!(await succeeds(fd, FS_IOC_FSGETXATTR, attributes))) return;
  attributes.writeUInt32LE((attributes.readUInt32LE(FLAGS_AT) | HAS_EXTENT_SIZE) >>> 0, FLAGS_AT);
  attributes.writeUInt32LE(bytes, EXTENT_SIZE_AT);
  await succeeds(fd, FS_IOC_FSSETXATTR, attributes);
}

/** False also on a host without a build of koffi. */
function succeeds(fd: number, request: number, attributes: Buffer): Promise<boolean> {
  return new Promise((resolve, reject) => {
    if (ioctl === undefined) resolve(false);
    else
      ioctl.async(fd, request, attributes, (error: Error | null, result: number) => {
        if (error === null) resolve(result === 0);
        else reject(error);
      });
  });
}
