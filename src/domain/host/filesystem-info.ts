import type { ImageAddress } from '../model/address.js';
import type { Caller } from '../access/caller.js';
import { rest, uint64 } from '../model/numbers.js';
import type { SpaceLedger } from '../operations/resources/space.js';
import { breathe, sleepOrAborted } from '../model/async.js';
import type { Handle } from '../ports/handles.js';

/** Counts from statvfs, in its units. */
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
  /** The key that reservations use. */
  readonly key: string;
  readonly counts: FilesystemCounts;
  readonly type: string;
  readonly mountPoint: string;
  readonly device: string;
}

export interface Filesystems {
  /**
   * Any file or folder inside the roots. Fails with PATH_OUTSIDE_ROOTS, FILE_NOT_FOUND,
   * ACCESS_DENIED, ROOT_STALLED.
   */
  open(address: ImageAddress): Promise<Handle>;
  /** Fails with ROOT_STALLED. */
  describe(place: Handle): Promise<Filesystem>;
}

/** By how much images may still grow: their virtual sizes beyond their allocated bytes. */
export interface Overcommit {
  /** For a filesystem, by its key, at some recent time; undefined until it is known. */
  bytes(filesystem: string): bigint | undefined;
}

export interface FilesystemInfo extends Omit<Filesystem, 'key'> {
  readonly totalBytes: bigint;
  readonly freeBytes: bigint;
  readonly usedBytes: bigint;
  readonly reservedBytes: bigint;
  readonly overcommittedBytes?: bigint;
}

/**
 * Free is what a user without privileges can use; used is everything that is not free (parity row
 * 17). No value exceeds the total, whatever the filesystem reports.
 */
export function spaceOf({ fragmentBytes, blocks, freeBlocks, availableBlocks }: FilesystemCounts) {
  const bytes = (count: bigint) => uint64(fragmentBytes * (count < blocks ? count : blocks));
  return {
    totalBytes: bytes(blocks),
    freeBytes: bytes(availableBlocks),
    usedBytes: bytes(rest(blocks, freeBlocks)),
  };
}

export interface FilesystemPorts {
  readonly filesystems: Filesystems;
  readonly space: SpaceLedger;
  readonly overcommit: Overcommit;
}

/**
 * Space, type and reservations of the filesystem below an address, in bytes. Fails as opening the
 * address does; the signal ends waiting for a slow filesystem.
 */
export async function filesystemInfo(
  address: ImageAddress,
  { filesystems, space, overcommit }: FilesystemPorts,
  signal: AbortSignal,
): Promise<FilesystemInfo> {
  const place = await filesystems.open(address);
  try {
    const { key, ...filesystem } = await filesystems.describe(place);
    const overcommittedBytes = overcommit.bytes(key);
    return {
      ...filesystem,
      ...spaceOf(filesystem.counts),
      reservedBytes: uint64(await space.reservedBytes({ filesystem: key, path: address }, signal)),
      ...(overcommittedBytes === undefined ? {} : { overcommittedBytes }),
    };
  } finally {
    await place.close();
  }
}

export interface WatchSpec {
  readonly address: ImageAddress;
  /** Unset: a hundredth of the total. */
  readonly thresholdBytes?: bigint;
  readonly intervalMs: number;
}

/**
 * The filesystem now, and again whenever the free space differs from the last report by more than
 * the threshold.
 */
export async function* watchFilesystem(
  { address, thresholdBytes, intervalMs }: WatchSpec,
  { signal }: Caller,
  ports: FilesystemPorts,
): AsyncGenerator<FilesystemInfo, void> {
  for (let reported: bigint | undefined; ;) {
    const info = await filesystemInfo(address, ports, signal);
    const difference = info.freeBytes - (reported ?? 0n);
    const threshold = thresholdBytes ?? info.totalBytes / 100n;
    if (reported === undefined || difference > threshold || -difference > threshold) {
      yield info;
      reported = info.freeBytes;
    }
    await sleepOrAborted(intervalMs, signal);
    // Many watches whose timers fire at once would otherwise run in one turn.
    await breathe();
  }
}
