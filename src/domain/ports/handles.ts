import type { ImageAddress } from '../model/address.js';
import type { SnapshotFacts } from '../model/image-info.js';

/**
 * Names an inode whatever happens to its path: an open O_PATH descriptor. An image in a cluster has
 * a handle too, of a class that its adapters know. Only adapters look inside.
 */
export interface Handle {
  readonly fd: number;
  close(): Promise<void>;
}

/** A file for a tool to open: a handle, or one plain name below a folder's handle. */
export interface FileRef {
  readonly handle: Handle;
  readonly name?: string;
  /** Its name in messages. */
  readonly address?: ImageAddress;
}

export interface FileIdentity {
  readonly device: bigint;
  readonly inode: bigint;
}

/**
 * Where an image's bytes are: in a file, on a block device, or in a volume, an image of a Ceph
 * cluster.
 */
export type StorageKind = 'file' | 'device' | 'volume';

/** The cluster's facts about a volume; for a file its header has such facts. */
export interface VolumeFacts {
  readonly objectSizeBytes: bigint;
  readonly parent?: ImageAddress;
  readonly snapshots: readonly SnapshotFacts[];
}

/**
 * An existing image, resolved once inside its root and always used through its handle afterwards.
 */
export interface Resolved extends FileRef, FileIdentity, Located {
  readonly storage: StorageKind;
  /** Set for volumes. */
  readonly volume?: VolumeFacts;
  readonly address: ImageAddress;
  /** The name that a header uses for this file. */
  readonly storedName: string;
  readonly lengthBytes: bigint;
  readonly allocatedBytes: bigint;
  readonly modifyTimeNs: bigint;
  /**
   * It changes with every change of the file or of its rights, and nobody can set it; unset where
   * it may be out of date: on network filesystems, and for storage other than files.
   */
  readonly changeTimeNs?: bigint;
  /**
   * When the file was created, which never changes; unset if its filesystem does not know, and for
   * storage other than files.
   */
  readonly birthTimeNs?: bigint;
  /** It lies in a writable root. */
  readonly writable: boolean;
  /** Only trusted users create files there; in other roots every image is untrusted. */
  readonly trusted: boolean;
}

/** Values that change when a file changes. */
export interface Fingerprint extends FileIdentity {
  readonly lengthBytes: bigint;
  readonly modifyTimeNs: bigint;
  readonly changeTimeNs: bigint;
}

/** Where a file of a root was found. */
export interface Located {
  /** Its real path; unset if it lies in no root of files. */
  readonly realPath?: string;
}

/** A file with its name for messages. */
export interface AddressedFile extends FileRef {
  readonly address: ImageAddress;
}

/** Owner and mode of a new file; unset ones come from the root, then from the daemon. */
export interface FileAttributes {
  readonly owner?: string;
  readonly group?: string;
  readonly mode?: number;
}

/** Kinds of entries of a folder. */
export type FileKind = 'file' | 'folder' | 'link' | 'block' | 'other';

/** Kinds of entries that an image's name can lead to. */
export type ImageKind = FileKind | 'device' | 'volume';

/** An existing entry, opened without opening its content. */
export interface Entry extends FileRef, FileIdentity, Located {
  readonly address: ImageAddress;
  readonly kind: FileKind;
  readonly lengthBytes: bigint;
  readonly allocatedBytes: bigint;
  readonly modifyTimeNs: bigint;
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /**
   * A call into its filesystem. Fails with ROOT_STALLED if that does not answer; a late result is
   * passed to `dispose`.
   */
  inTime<T>(work: () => Promise<T>, dispose?: (late: T) => Promise<void>): Promise<T>;
}
