import { readFileSync } from 'node:fs';
import { mountOf, parseMountinfo, type Mount } from './mounts.js';
import { isBelow } from '../../domain/model/address.js';
import { exhaustion } from '../../domain/model/exhausted.js';
import type { Handle } from '../../domain/ports/handles.js';

/**
 * Filesystems whose data is stored on this host. Any other may belong to a server that does not
 * answer.
 */
const LOCAL_TYPES = [
  ...['ext2', 'ext3', 'ext4', 'xfs', 'btrfs', 'zfs', 'f2fs', 'jfs', 'reiserfs', 'bcachefs'],
  ...['tmpfs', 'ramfs', 'overlay', 'squashfs', 'iso9660', 'udf', 'vfat', 'exfat', 'ntfs3', 'devtmpfs'],
];

/** The longest time until a network filesystem that was mounted inside a root is noticed. */
const MAX_AGE_MS = 1000;

/** Whether roots hold local filesystems only, including mounts below them. */
export class LocalMounts {
  #mounts: readonly Mount[] = [];
  #read = -Infinity;

  /** Watches a root that is held open at its real path. */
  async watch(root: Handle, realPath: string): Promise<() => boolean> {
    const own = await mountOf(root, this.#now());
    if (own === undefined || !LOCAL_TYPES.includes(own.type)) return () => false;
    let judged: readonly Mount[] = [];
    let local = false;
    return () => {
      const mounts = this.#nowOrUnknown();
      // The calls for network filesystems work for local ones too, only slower.
      if (mounts === undefined) return false;
      if (judged !== mounts)
        local = mounts.every(({ mountPoint, type }) => LOCAL_TYPES.includes(type) || !isBelow(mountPoint, realPath));
      judged = mounts;
      return local;
    };
  }

  #now(): readonly Mount[] {
    const now = performance.now();
    if (now - this.#read < MAX_AGE_MS) return this.#mounts;
    this.#mounts = parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'));
    this.#read = now;
    return this.#mounts;
  }

  /** Undefined if the host has no free descriptor: a cleanup must not fail because of that. */
  #nowOrUnknown(): readonly Mount[] | undefined {
    try {
      return this.#now();
    } catch (error) {
      if (exhaustion(error) !== undefined) return undefined;
      throw error;
    }
  }
}
