import type { ImageAddress } from '../address.js';
import type { SpaceLedger } from '../operations/space.js';
import type { Handle } from '../ports.js';

/** What statvfs says, in its units. */
export interface FilesystemCounts {
  readonly fragmentBytes: bigint;
  readonly blocks: bigint;
  readonly freeBlocks: bigint;
  /** Free for users without privileges. */
  readonly availableBlocks: bigint;
  readonly inodes: bigint;
  readonly freeInodes: bigint;
}

export interface Filesystem {
  /** As reservations name it. */
  readonly key: string;
  readonly counts: FilesystemCounts;
  readonly type: string;
  readonly mountPoint: string;
  readonly device: string;
}

export interface Filesystems {
  /** Any file or folder inside the roots. Fails with PATH_OUTSIDE_ROOTS, FILE_NOT_FOUND, ACCESS_DENIED, ROOT_STALLED. */
  open(address: ImageAddress): Promise<Handle>;
  describe(place: Handle): Promise<Filesystem>;
}

export interface FilesystemInfo extends Omit<Filesystem, 'key'> {
  readonly totalBytes: bigint;
  readonly freeBytes: bigint;
  readonly usedBytes: bigint;
  readonly reservedBytes: bigint;
}

/** Free is what a user without privileges can have; used is what is not free for anybody (parity row 17). */
export function spaceOf({ fragmentBytes, blocks, freeBlocks, availableBlocks }: FilesystemCounts) {
  return {
    totalBytes: fragmentBytes * blocks,
    freeBytes: fragmentBytes * availableBlocks,
    usedBytes: fragmentBytes * (blocks - freeBlocks),
  };
}

export async function filesystemInfo(
  address: ImageAddress,
  { filesystems, space }: { readonly filesystems: Filesystems; readonly space: SpaceLedger },
): Promise<FilesystemInfo> {
  const place = await filesystems.open(address);
  try {
    const { key, ...filesystem } = await filesystems.describe(place);
    return { ...filesystem, ...spaceOf(filesystem.counts), reservedBytes: await space.reservedBytes(key) };
  } finally {
    await place.close();
  }
}
