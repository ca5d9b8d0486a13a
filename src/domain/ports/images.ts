import type { Missing } from '../model/image-info.js';
import type { ImageFormat } from '../model/image-format.js';
import type { Handle, FileRef, FileIdentity, Resolved, Fingerprint, AddressedFile, StorageKind } from './handles.js';
import type { NotDurable, ResolvedTarget } from './targets.js';
import type { ByteRange } from './changes.js';

/** Reads ranges of a file. */
export interface ByteSource {
  readonly lengthBytes: bigint;
  /** Returns fewer bytes than asked for only at the end of the file. */
  read(offset: bigint, length: number): Promise<Buffer>;
}

/** Reading and removing files through handles. */
export interface Files {
  /** Opens for reading, calls `use`, closes. Fails with ACCESS_DENIED, IO_ERROR. */
  withBytes<T>(file: AddressedFile, use: (bytes: ByteSource) => Promise<T>): Promise<T>;
  /**
   * Removes the name, durably if the filesystem supports that. Fails with ACCESS_DENIED,
   * ROOT_READ_ONLY, IO_ERROR.
   */
  remove(target: ResolvedTarget): Promise<NotDurable | undefined>;
  /** The same file with its current length, space and time. */
  refresh(file: Resolved): Promise<Resolved>;
  /** Shows later whether the file has changed. */
  fingerprint(file: FileRef): Promise<Fingerprint>;
  /** Makes the content of a file durable. */
  sync(file: Resolved): Promise<void>;
  /**
   * Opens a file that a tool is about to change, so that the change can be made durable. It has to
   * be open before the change: the kernel reports a failed write once to each open file, and not to
   * one that is opened after the tool got the error.
   */
  openForChange(file: Resolved): Promise<OpenFile>;
  /** Allocated bytes of a file; 0 if it does not exist yet. */
  allocatedBytes(file: FileRef): Promise<bigint>;
  /**
   * How many bytes of a range need new space when they are written: holes, bytes beyond its end,
   * and blocks that it shares with other files or that are packed; the whole range if that is
   * unknown. Fails with ACCESS_DENIED, IO_ERROR.
   */
  newRoom(file: InPlace, range: ByteRange): Promise<bigint>;
  /** Free space on the filesystem of an open folder, for this daemon. */
  freeBytes(directory: Handle): Promise<bigint>;
}

/** Whether a file has all parts that its image names. */
export interface Wholeness {
  /**
   * Parts that lie beyond the end of the file; undefined: none, or the format has no tables that
   * show it. The header must have been read. Fails with ACCESS_DENIED, IO_ERROR,
   * TOOL_LIMIT_EXCEEDED.
   */
  missing(file: AddressedFile, format: ImageFormat, signal: AbortSignal): Promise<Missing | undefined>;
}

/** A file that is written in place. */
export type InPlace = Pick<Resolved, 'address' | 'device' | 'handle' | 'name' | 'lengthBytes' | 'allocatedBytes'>;

/** Close it when the change is over. */
export interface OpenFile {
  /**
   * Makes written data durable. Fails with IO_ERROR, NO_SPACE also for data that another process
   * wrote since it was opened.
   */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** A file with its identity and kind if they are known; otherwise the file is asked for them. */
export type LockedFile = FileRef & Partial<FileIdentity> & { readonly storage?: StorageKind };

/** Which processes hold an image through qemu's byte locks. */
export interface ImageLocks {
  /**
   * The strongest hold on each file, in the same order. If a file cannot be queried by itself, this
   * costs about 13 ms (the kernel blocks all locking for it), so a caller that only displays it
   * gets the state of the last 100 ms.
   */
  holds(files: readonly LockedFile[], age?: 'now' | 'shown'): Promise<readonly ('none' | 'reader' | 'writer')[]>;
  /** The process that holds a file, if it can be determined. */
  holder(file: FileRef): Promise<number | undefined>;
}

/** Milliseconds since 1970. */
export type Clock = () => number;
