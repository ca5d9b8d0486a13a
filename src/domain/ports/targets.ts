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

/** A second file in a private place, for what has to be taken in before it is looked at. */
export interface StagingFile extends FileRef {
  /** Cuts or grows the file to the exact length. */
  truncate(lengthBytes: bigint): Promise<void>;
  readonly name: string;
  /** Removes it, if it is there. */
  remove(): Promise<void>;
}

/** A private place for a file that is being made. */
export interface StagedImage extends FileRef {
  readonly name: string;
  /** Removed with the private folder. */
  readonly aside: StagingFile;
  /** Another one, for what the first one turns into. */
  readonly expanded: StagingFile;
  /** And one for what is taken out of that. */
  readonly member: StagingFile;
  /** Whether this filesystem lets files be written past the page cache; found by trying. */
  canWriteDirectly(): Promise<boolean>;
  /** A tool that names its files itself has made it in the private folder under this name. */
  adopt(name: string): Promise<void>;
  /** Cuts or grows the file to the exact length. */
  truncate(lengthBytes: bigint): Promise<void>;
  /**
   * Sets owner and mode, and what a file that is replaced has beside these (access list, label,
   * attributes), then makes the content durable. What the target will be; its handle is the part's.
   * Of an `empty` one it is known that nothing has been written into it.
   */
  seal(content?: 'empty'): Promise<Resolved>;
  /**
   * Gives it the target's name, durably where the filesystem can do that. After a failure, such as
   * TARGET_EXISTS when it lost a race, the name is not the part's.
   */
  publish(): Promise<NotDurable | undefined>;
  /** Removes everything; what it removed. Safe to call at any time, also after publish. */
  discard(): Promise<readonly string[]>;
  /** Space that all that lies in the private place takes by now, whatever its names. */
  takenBytes(): Promise<bigint>;
  /** Lets go of it and removes nothing; the space that it takes. */
  leave(): Promise<bigint>;
  /** The private folder is that of an earlier attempt, with what that left there. */
  readonly inherited: boolean;
}

export interface PartRequest {
  readonly operationId: string;
  readonly overwrite: boolean;
  readonly attributes: FileAttributes;
  /**
   * Operations whose private folder is taken over, the first that there is; a new one is made where
   * none is.
   */
  readonly takeOver?: readonly string[];
  /**
   * Hears, in a sentence, what a file that is replaced had beside owner and mode, and the new one
   * has not.
   */
  readonly onLost?: (message: string) => void;
}

/** A name was changed, and may not survive a power cut. */
export interface NotDurable {
  /** One sentence for people. */
  readonly why: string;
}

/** Where new images come into being, and how they get their name. */
export interface Targets {
  prepare(target: ResolvedTarget, request: PartRequest): Promise<StagedImage>;
  /**
   * Removes the private folder that an operation of an earlier life left beside this target; what
   * it removed.
   */
  clean(target: ResolvedTarget, operationId: string): Promise<readonly string[]>;
  /** Space that such a folder takes; undefined where there is none. */
  takenBytes(target: ResolvedTarget, operationId: string): Promise<bigint | undefined>;
  /** Removes every private folder of this agent in the roots whose operation is not at work. */
  sweep(isAtWork: (operationId: string) => boolean): Promise<readonly string[]>;
}

/** What a target's name stands for now. A link is not followed. */
export interface ExistingTarget extends FileIdentity {
  readonly type: ImageKind;
  readonly allocatedBytes: bigint;
  /** As `Resolved`. */
  readonly birthTimeNs?: bigint;
}

/** A name in an open folder, or in a pool: where an image will be made or removed. */
export interface ResolvedTarget extends Located {
  readonly storage: StorageKind;
  readonly address: ImageAddress;
  readonly storedName: string;
  readonly directory: Handle;
  readonly directoryIdentity: FileIdentity;
  readonly name: string;
  /** What the root says of new files. */
  readonly defaults: FileAttributes;
  /** As of a `Resolved`. */
  readonly trusted: boolean;
  readonly existing?: ExistingTarget;
}
