import type {
  FileRef,
  Resolved,
  FileAttributes,
  FileIdentity,
  ImageKind,
  StorageKind,
  Handle,
  Located,
} from './handles.js';
import type { ImageAddress } from '../model/address.js';

/** Another file in a private place, for data that has to be received before it is checked. */
export interface StagingFile extends FileRef {
  /** Cuts or grows the file to the exact length. */
  truncate(lengthBytes: bigint): Promise<void>;
  readonly name: string;
  /** Removes it, if it exists. */
  remove(): Promise<void>;
}

/** A private place for a file that is being created. */
export interface StagedImage extends FileRef {
  readonly name: string;
  /** Removed with the private folder. */
  readonly aside: StagingFile;
  /** For the decompressed content of the first one. */
  readonly expanded: StagingFile;
  /** For the member that is extracted from that. */
  readonly member: StagingFile;
  /** Whether this filesystem supports writing with O_DIRECT; found by trying. */
  canWriteDirectly(): Promise<boolean>;
  /** Adopts a file that a tool, which chooses its own names, has created in the private folder. */
  adopt(name: string): Promise<void>;
  /** Cuts or grows the file to the exact length. */
  truncate(lengthBytes: bigint): Promise<void>;
  /**
   * Sets owner and mode, and the other attributes of a file that is replaced (access list, label,
   * extended attributes), then makes the content durable. Returns the future target, with the
   * part's handle. For an `empty` one it is known that nothing has been written into it; it may be
   * left to `sync`.
   */
  seal(content?: 'empty'): Promise<Resolved>;
  /** Makes durable what `seal` has left. `publish` does it otherwise. */
  sync(): Promise<void>;
  /**
   * Gives it the target's name, durably if the filesystem supports that. After a failure, such as
   * TARGET_EXISTS when it lost a race, the name does not lead to the part.
   */
  publish(): Promise<NotDurable | undefined>;
  /**
   * Removes everything; returns the removed paths. Safe to call at any time, also after publish.
   */
  discard(): Promise<readonly string[]>;
  /** Current allocated bytes of all files in the private place, under any names. */
  takenBytes(): Promise<bigint>;
  /** Releases it without removing anything; returns the space that it occupies. */
  leave(): Promise<bigint>;
  /** The private folder is from an earlier attempt, with that attempt's files. */
  readonly inherited: boolean;
}

export interface PartRequest {
  readonly operationId: string;
  readonly overwrite: boolean;
  readonly attributes: FileAttributes;
  /**
   * Operations whose private folder is taken over, the first that exists; a new one is created if
   * none does.
   */
  readonly takeOver?: readonly string[];
  /** Called with a sentence about attributes of a replaced file that the new one lacks. */
  readonly onLost?: (message: string) => void;
}

/** A name was changed, and may not survive a power failure. */
export interface NotDurable {
  /** One sentence for people. */
  readonly why: string;
}

/** Creates new images and publishes them. */
export interface Targets {
  prepare(target: ResolvedTarget, request: PartRequest): Promise<StagedImage>;
  /**
   * Removes the private folder that an operation of an earlier life left beside this target;
   * returns the removed paths.
   */
  clean(target: ResolvedTarget, operationId: string): Promise<readonly string[]>;
  /** Allocated bytes of such a folder; undefined if there is none. */
  takenBytes(target: ResolvedTarget, operationId: string): Promise<bigint | undefined>;
  /** Removes every private folder of this agent in the roots whose operation is not running. */
  sweep(isAtWork: (operationId: string) => boolean): Promise<readonly string[]>;
}

/** What a target's name leads to now. A link is not followed. */
export interface ExistingTarget extends FileIdentity {
  readonly type: ImageKind;
  readonly allocatedBytes: bigint;
  /** As in `Resolved`. */
  readonly birthTimeNs?: bigint;
}

/** A name in an open folder, or in a pool: where an image will be created or removed. */
export interface ResolvedTarget extends Located {
  readonly storage: StorageKind;
  readonly address: ImageAddress;
  readonly storedName: string;
  readonly directory: Handle;
  readonly directoryIdentity: FileIdentity;
  readonly name: string;
  /** The root's defaults for new files. */
  readonly defaults: FileAttributes;
  /** As in `Resolved`. */
  readonly trusted: boolean;
  readonly existing?: ExistingTarget;
}
