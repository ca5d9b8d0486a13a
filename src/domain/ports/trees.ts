import type { Entry, FileAttributes, FileIdentity, FileKind } from './handles.js';
import type { NotDurable, ResolvedTarget } from './targets.js';

/** A folder, and those in it, that have no name yet. */
export interface NewFolders {
  /** Of the topmost one. */
  readonly made: FileIdentity;
  /** Gives the topmost one its name, which replaces nothing. Fails with TARGET_EXISTS. */
  publish(): Promise<NotDurable | undefined>;
  /** Removes what has no name yet; what it removed. Safe to call at any time. */
  discard(): Promise<readonly string[]>;
}

/** A folder that is to be removed with all that is in it. */
export interface DoomedTree {
  /** Takes its name away, in one step: from then on nobody finds it. */
  take(): Promise<NotDurable | undefined>;
  /** Removes what was taken; `onProgress` hears now and then how many entries have gone. */
  empty(onProgress: (items: bigint) => void): Promise<void>;
  /** Removes what was taken, if that is not done. Safe to call at any time. */
  discard(): Promise<readonly string[]>;
}

/** What is looked for in a tree. */
export interface TreeLook {
  readonly signal: AbortSignal;
  /** `device:inode` of what other operations work on. */
  readonly busy: ReadonlySet<string>;
  /** Hears now and then how many entries were seen. */
  readonly onProgress?: (items: bigint) => void;
}

/** What a tree holds. Sizes are of all that has no name elsewhere. */
export interface TreeFacts {
  /** The top counts too. */
  readonly items: bigint;
  readonly allocatedBytes: bigint;
  /** What another operation works on, or in; paths as messages name them. */
  readonly busy?: { readonly key: string; readonly path: string };
  /** A file in it that qemu holds. */
  readonly held?: HeldFile;
  /** Numbers of the inodes that qemu held when the look began, wherever they lie. */
  readonly heldInodes: ReadonlySet<bigint>;
}

/** A file that qemu holds, and a process that has it open. */
export interface HeldFile {
  readonly path: string;
  readonly pid?: number;
}

/** What has the new name, and is replaced. */
export type MovedOver = 'nothing' | 'file' | 'link';

/** What stands for one name of a folder. */
export interface ListedEntry {
  /** The bytes of its name. */
  readonly name: Uint8Array;
  readonly kind: FileKind;
  readonly lengthBytes: bigint;
  readonly allocatedBytes: bigint;
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly modifyTimeNs: bigint;
}

/** Folders with all that is in them, and names. Links are never followed, mounts never crossed. */
export interface Trees {
  /**
   * Makes a folder, and `below` it one in the other, in a private folder of the operation beside
   * the target, durably, with owner and mode. Fails with NO_SPACE, ACCESS_DENIED, INVALID_FIELD,
   * TOOL_FAILED, TOOL_MISSING.
   */
  build(
    target: ResolvedTarget,
    request: {
      readonly operationId: string;
      readonly below: readonly string[];
      readonly attributes: FileAttributes;
      readonly signal: AbortSignal;
    },
  ): Promise<NewFolders>;
  /**
   * Looks at what stands for the name and at all below it. Fails with OTHER_FILESYSTEM,
   * ACCESS_DENIED, PATH_BUSY where another agent works in it, and with the signal's reason.
   */
  inspect(target: ResolvedTarget, look: TreeLook): Promise<TreeFacts>;
  /**
   * A file in the tree that qemu has opened since that look. It looks again only where something
   * was opened anywhere. Fails as `inspect`.
   */
  heldSince(
    target: ResolvedTarget,
    before: Pick<TreeFacts, 'heldInodes'>,
    signal: AbortSignal,
  ): Promise<HeldFile | undefined>;
  /** Removes an empty folder, durably. Fails with DIRECTORY_NOT_EMPTY, FILE_NOT_FOUND. */
  removeEmpty(target: ResolvedTarget): Promise<NotDurable | undefined>;
  /** Prepares the removal of a folder in a private folder of the operation. */
  doom(target: ResolvedTarget, operationId: string): Promise<DoomedTree>;
  /**
   * Gives what stands for the one name the other one, in one step, durably. Over a link, what is no
   * file takes two steps: between them nothing has the new name. Fails with OTHER_FILESYSTEM,
   * FILE_NOT_FOUND, TARGET_EXISTS, INVALID_FIELD where a folder would come to lie in itself.
   */
  move(from: ResolvedTarget, to: ResolvedTarget, over: MovedOver): Promise<NotDurable | undefined>;
  /**
   * Makes the second name a link that leads to the first one, durably; one that is there already
   * stays. Fails with TARGET_EXISTS where something else has the name.
   */
  link(from: ResolvedTarget, to: ResolvedTarget): Promise<void>;
  /** Whether the second name is such a link now. */
  isLinked(from: ResolvedTarget, to: ResolvedTarget): Promise<boolean>;
  /** Removes such a link, durably, if it is there. */
  unlink(from: ResolvedTarget, to: ResolvedTarget): Promise<void>;
  /** Removes one of several names of a file, durably. */
  removeName(place: ResolvedTarget): Promise<void>;
  /** What stands for a name now; undefined: nothing. */
  standsFor(place: ResolvedTarget): Promise<FileIdentity | undefined>;
  /**
   * The next names of a folder after `after`, in the order of their bytes, at most `size`, with
   * what they stand for, and whether there are more; `last` is the last one that was looked at. The
   * names may be those that the folder had when the list began. Fails with ROOT_STALLED,
   * FILE_NOT_FOUND, and with the signal's reason.
   */
  list(
    folder: Entry,
    page: { readonly after?: Uint8Array; readonly size: number },
    signal: AbortSignal,
  ): Promise<{ readonly entries: readonly ListedEntry[]; readonly more: boolean; readonly last?: Uint8Array }>;
}
