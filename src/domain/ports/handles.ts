import type { ImageAddress } from '../model/address.js';
import type { SnapshotFacts } from '../model/image-info.js';

/**
 * What names an inode whatever happens to its path: an open O_PATH descriptor. An image in a
 * cluster has a handle too, of a class that its adapters know. Only adapters look inside.
 */
export interface Handle {
  readonly fd: number;
  close(): Promise<void>;
}

/** A file for a tool to open: a handle, or one plain name below a folder's handle. */
export interface FileRef {
  readonly handle: Handle;
  readonly name?: string;
  /** How messages name it. */
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

/** What a cluster says of a volume; of a file its header says such things. */
export interface VolumeFacts {
  readonly objectSizeBytes: bigint;
  readonly parent?: ImageAddress;
  readonly snapshots: readonly SnapshotFacts[];
}

/** An existing image, resolved once inside its root and used through its handle ever after. */
export interface Resolved extends FileRef, FileIdentity, Located {
  readonly storage: StorageKind;
  /** Set for volumes. */
  readonly volume?: VolumeFacts;
  readonly address: ImageAddress;
  /** What is written into a header that names this file. */
  readonly storedName: string;
  readonly lengthBytes: bigint;
  readonly allocatedBytes: bigint;
  readonly modifyTimeNs: bigint;
  /**
   * When the file was made, which nothing changes; unset where its filesystem does not know, and
   * for what is no file.
   */
  readonly birthTimeNs?: bigint;
  /** It lies in a root that may be written. */
  readonly writable: boolean;
  /** Only trusted users make files there; elsewhere every image is untrusted. */
  readonly trusted: boolean;
}

/** What changes when a file changes. */
export interface Fingerprint extends FileIdentity {
  readonly lengthBytes: bigint;
  readonly modifyTimeNs: bigint;
  readonly changeTimeNs: bigint;
}

/** Where a file of a root was found. */
export interface Located {
  /** Its path without links; unset where it lies in no root of files. */
  readonly realPath?: string;
}

/** A file with a name to speak of it by. */
export interface AddressedFile extends FileRef {
  readonly address: ImageAddress;
}

/** Owner and mode of a new file; what is unset comes from the root, then from the daemon. */
export interface FileAttributes {
  readonly owner?: string;
  readonly group?: string;
  readonly mode?: number;
}

/** What a name can stand for. */
export type FileKind = 'file' | 'folder' | 'link' | 'block' | 'other';

/** What an image's name can stand for. */
export type ImageKind = FileKind | 'device' | 'volume';

/** Whatever has a name, opened without opening its content. */
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
   * A call into its filesystem. Fails with ROOT_STALLED when that does not answer; what comes too
   * late goes to `dispose`.
   */
  inTime<T>(work: () => Promise<T>, dispose?: (late: T) => Promise<void>): Promise<T>;
}
