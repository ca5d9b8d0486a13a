import type { Missing } from '../model/image-info.js';
import type { ImageFormat } from '../model/image-format.js';
import type { Handle, FileRef, FileIdentity, Resolved, Fingerprint, AddressedFile } from './handles.js';
import type { NotDurable, ResolvedTarget } from './targets.js';
import type { ByteRange } from './changes.js';

/** Reads ranges of a file. */
export interface ByteSource {
  readonly lengthBytes: bigint;
  /** Fewer bytes than asked for only at the end of the file. */
  read(offset: bigint, length: number): Promise<Buffer>;
}

/** Reading and removing files through handles. */
export interface Files {
  /** Opens for reading, calls, closes. Fails with ACCESS_DENIED, IO_ERROR. */
  withBytes<T>(file: AddressedFile, use: (bytes: ByteSource) => Promise<T>): Promise<T>;
  /**
   * Removes the name, durably where the filesystem can do that. Fails with ACCESS_DENIED,
   * ROOT_READ_ONLY, IO_ERROR.
   */
  remove(target: ResolvedTarget): Promise<NotDurable | undefined>;
  /** The same file with its length, space and time of now. */
  refresh(file: Resolved): Promise<Resolved>;
  /** What tells whether it has changed since. */
  fingerprint(file: FileRef): Promise<Fingerprint>;
  /** Makes the content of a file durable. */
  sync(file: Resolved): Promise<void>;
  /**
   * Opens a file that a tool is about to change, so that the change can be made durable. It has to
   * be open before: the kernel reports a write that failed once to each open file, and nobody
   * reports it to one that is opened after the tool has heard of it.
   */
  openForChange(file: Resolved): Promise<OpenFile>;
  /** Space that a file takes by now; 0 when it is not there yet. */
  allocatedBytes(file: FileRef): Promise<bigint>;
  /**
   * How many bytes of a range of a file take new room when they are written: holes, what lies
   * beyond its end, and blocks that it shares with other files or that are packed; all of them
   * where nobody knows. Fails with ACCESS_DENIED, IO_ERROR.
   */
  newRoom(file: InPlace, range: ByteRange): Promise<bigint>;
  /** Space on the filesystem of an open folder, for this daemon. */
  freeBytes(directory: Handle): Promise<bigint>;
}

/** Whether a file has all that its image names. */
export interface Wholeness {
  /**
   * What lies beyond the end of the file; undefined: nothing, or the format has no tables that say
   * it. Its header has been read. Fails with ACCESS_DENIED, IO_ERROR, TOOL_LIMIT_EXCEEDED.
   */
  missing(file: AddressedFile, format: ImageFormat, signal: AbortSignal): Promise<Missing | undefined>;
}

/** A file that is written where it is. */
export type InPlace = Pick<Resolved, 'address' | 'device' | 'handle' | 'name' | 'lengthBytes' | 'allocatedBytes'>;

/** Close it when the change is over. */
export interface OpenFile {
  /**
   * Makes durable what has been written. Fails with IO_ERROR, NO_SPACE also for data that another
   * process wrote since it was opened.
   */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Who holds an image through qemu's byte locks. */
export interface ImageLocks {
  /**
   * The strongest hold on each file, in the same order. Where a file cannot be asked by itself,
   * looking costs about 13 ms (the kernel stops all locking for it), so a caller that only displays
   * it gets the state of the last 100 ms.
   */
  holds(
    files: readonly (FileRef & Partial<FileIdentity>)[],
    age?: 'now' | 'shown',
  ): Promise<readonly ('none' | 'reader' | 'writer')[]>;
  /** The process that holds a file, where it can be known. */
  holder(file: FileRef): Promise<number | undefined>;
}

/** Milliseconds since 1970. */
export type Clock = () => number;
