import type { Entry, FileAttributes, FileIdentity, FileKind } from './handles.js';
import type { NotDurable, ResolvedTarget } from './targets.js';

/** A folder, with folders in it, that has no name yet. */
export interface NewFolders {
  /** Identity of the topmost one. */
  readonly made: FileIdentity;
  /** Gives the topmost one its name, which replaces nothing. Fails with TARGET_EXISTS. */
  publish(): Promise<NotDurable | undefined>;
  /** Removes folders that have no name yet; returns the removed paths. Safe to call at any time. */
  discard(): Promise<readonly string[]>;
}

/** A folder that is to be removed with everything in it. */
export interface DoomedTree {
  /** Removes its name in one step: from then on no path leads to it. */
  take(): Promise<NotDurable | undefined>;
  /**
   * Removes the content of the taken folder; `onProgress` gets the number of removed entries now
   * and then.
   */
  empty(onProgress: (items: bigint) => void): Promise<void>;
  /** Removes the taken folder, if that is not done. Safe to call at any time. */
  discard(): Promise<readonly string[]>;
}

/** What is checked in a tree. */
export interface TreeLook {
  readonly signal: AbortSignal;
  /** `device:inode` of what other operations work on. */
  readonly busy: ReadonlySet<string>;
  /** Called now and then with the number of entries seen. */
  readonly onProgress?: (items: bigint) => void;
}

/** The content of a tree. Sizes are of files that have no other name elsewhere. */
export interface TreeFacts {
  /** Includes the top. */
  readonly items: bigint;
  readonly allocatedBytes: bigint;
  /** An entry that another operation works on, or in; the path is for messages. */
  readonly busy?: { readonly key: string; readonly path: string };
  /** A file in it that qemu has open. */
  readonly held?: HeldFile;
  /** Inode numbers of the files that qemu held when the check began, on all filesystems. */
  readonly heldInodes: ReadonlySet<bigint>;
}

/** A file that qemu holds, and a process that has it open. */
export interface HeldFile {
  readonly path: string;
  readonly pid?: number;
}

/** The entry with the new name, which is replaced. */
export type MovedOver = 'nothing' | 'file' | 'link';

/** The entry with one name of a folder. */
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

/** Whole folders, and names. Links are never followed, mounts never crossed. */
export interface Trees {
  /**
   * Creates a folder, and the folders `below` inside each other, in a private folder of the
   * operation beside the target, durably, with owner and mode. Fails with NO_SPACE, ACCESS_DENIED,
   * INVALID_FIELD, TOOL_FAILED, TOOL_MISSING.
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
   * Examines the entry with the name and everything below it. Fails with OTHER_FILESYSTEM,
   * ACCESS_DENIED, PATH_BUSY if another agent works in it, and with the signal's reason.
   */
  inspect(target: ResolvedTarget, look: TreeLook): Promise<TreeFacts>;
  /**
   * A file in the tree that qemu has opened since that check. It searches again only if any file on
   * the host was opened since. Fails as `inspect`.
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
   * Renames the entry of the one name to the other name, in one step, durably. Over a link, an
   * entry that is not a file needs two steps: between them the new name does not exist. Fails with
   * OTHER_FILESYSTEM, FILE_NOT_FOUND, TARGET_EXISTS, INVALID_FIELD if a folder would come to lie in
   * itself.
   */
  move(from: ResolvedTarget, to: ResolvedTarget, over: MovedOver): Promise<NotDurable | undefined>;
  /**
   * Makes the second name a link to the first one, durably; an existing such link stays. Fails with
   * TARGET_EXISTS if another entry has the name.
   */
  link(from: ResolvedTarget, to: ResolvedTarget): Promise<void>;
  /** Whether the second name is such a link now. */
  isLinked(from: ResolvedTarget, to: ResolvedTarget): Promise<boolean>;
  /** Removes such a link, durably, if it exists. */
  unlink(from: ResolvedTarget, to: ResolvedTarget): Promise<void>;
  /** Removes one of several names of a file, durably. */
  removeName(place: ResolvedTarget): Promise<void>;
  /** What a name leads to now; undefined: nothing. */
  standsFor(place: ResolvedTarget): Promise<FileIdentity | undefined>;
  /**
   * The next names of a folder after `after`, in byte order, at most `size`, with their entries,
   * and whether there are more; `last` is the last name that was examined. The names may be those
   * that the folder had when the list began. Fails with ROOT_STALLED, FILE_NOT_FOUND, and with the
   * signal's reason.
   */
  list(
    folder: Entry,
    page: { readonly after?: Uint8Array; readonly size: number },
    signal: AbortSignal,
  ): Promise<{ readonly entries: readonly ListedEntry[]; readonly more: boolean; readonly last?: Uint8Array }>;
}
