import type { ImageAddress } from '../model/address.js';
import type { Extent, ImageFacts, NamedExtent, SnapshotFacts, Missing } from '../model/image-info.js';
import type { ImageFormat, Preallocation } from '../model/image-format.js';
import type { Layout } from '../model/image-layout.js';

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
export interface Resolved extends FileRef, FileIdentity {
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
  /** It lies where only those make files who are trusted; elsewhere every image is a stranger's. */
  readonly trusted: boolean;
}

/** What changes when a file changes. */
export interface Fingerprint extends FileIdentity {
  readonly lengthBytes: bigint;
  readonly modifyTimeNs: bigint;
  readonly changeTimeNs: bigint;
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
export interface Entry extends FileRef, FileIdentity {
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

/** What a target's name stands for now. A link is not followed. */
export interface ExistingTarget extends FileIdentity {
  readonly type: ImageKind;
  readonly allocatedBytes: bigint;
  /** As `Resolved`. */
  readonly birthTimeNs?: bigint;
}

/** A name in an open folder, or in a pool: where an image will be made or removed. */
export interface ResolvedTarget {
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

export interface EntryNeed {
  readonly follow: boolean;
  readonly access: 'look' | 'change' | 'change tree';
}

/**
 * Resolves addresses inside the roots, component by component, by handles. Every handle returned is
 * the caller's to close.
 */
export interface Paths {
  /**
   * With `unread` a cluster is not asked what the image takes, which may take it seconds; its
   * length stands for that. Fails with PATH_OUTSIDE_ROOTS, IMAGE_NOT_FOUND, NOT_A_FILE,
   * ACCESS_DENIED.
   */
  source(address: ImageAddress, reading?: 'unread'): Promise<Resolved>;
  /**
   * A name found in the header of `from`: absolute, or relative to where `from` lies. Fails as
   * `source`.
   */
  named(name: string, from: Resolved): Promise<Resolved>;
  /**
   * Whatever has this name. With `follow` a link in the last component is followed; to change it,
   * it must lie in a root that may be written; to change the tree, all that is below it too. Fails
   * with PATH_OUTSIDE_ROOTS, FILE_NOT_FOUND, ROOT_READ_ONLY, ACCESS_DENIED.
   */
  entry(address: ImageAddress, need: EntryNeed): Promise<Entry>;
  /** Fails with PATH_OUTSIDE_ROOTS, PARENT_NOT_FOUND, ROOT_READ_ONLY, ACCESS_DENIED. */
  target(address: ImageAddress): Promise<ResolvedTarget>;
  /**
   * Refuses an address that a header may not name: one that leads out of the roots, out of the
   * caller's places, or into a folder that the daemon keeps for itself. It need not be there. Fails
   * with PATH_OUTSIDE_ROOTS.
   */
  assertNameable(address: ImageAddress): Promise<void>;
}

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

/** Close it when the change is over. */
export interface OpenFile {
  /**
   * Makes durable what has been written. Fails with IO_ERROR, NO_SPACE also for what somebody else
   * wrote since it was opened.
   */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Who holds an image through qemu's byte locks. */
export interface ImageLocks {
  /**
   * The strongest hold on each file, in the same order. Where a file cannot be asked by itself,
   * looking costs about 13 ms (the kernel stops all locking for it), so whoever only shows it gets
   * what was so within the last tenth of a second.
   */
  holds(
    files: readonly (FileRef & Partial<FileIdentity>)[],
    age?: 'now' | 'shown',
  ): Promise<readonly ('none' | 'reader' | 'writer')[]>;
  /** The process that holds a file, where it can be known. */
  holder(file: FileRef): Promise<number | undefined>;
}

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

/** A process, and what tells it from a later one with the same number. */
export interface RunningTool {
  readonly pid: number;
  readonly start: string;
}

/** Ends children that a daemon before us left running. */
export interface Strays {
  end(child: RunningTool): Promise<void>;
}

/** What a running tool reports to, and what ends it. */
export interface ToolRun {
  readonly signal: AbortSignal;
  /** The child while there is one. */
  onChild(child: RunningTool | undefined): void;
  /** 0 to 1; so much of it may have been begun only. */
  onFraction?(fraction: number, aheadBytes?: bigint): void;
}

/** A stretch of an image's disk; unset is the file of zeros. */
export interface LayerExtent extends Omit<NamedExtent, 'name'> {
  readonly file?: Resolved;
}

/** An image with all that it is backed by, top first, each with its format known. */
export interface Layer {
  readonly file: Resolved;
  readonly format: ImageFormat;
  readonly facts: ImageFacts;
  /**
   * A stranger's: no tool may open it where it lies (`there`); taken to where nobody else can
   * change it, and looked at there, it may be opened in the sandbox, under the limits for such
   * images (`taken`).
   */
  readonly foreign?: 'there' | 'taken';
  /** Opens an encrypted one. Never written anywhere; tools know it by the id. */
  readonly opens?: { readonly id: string; readonly passphrase: Uint8Array };
  /**
   * Of an image of several files, all of it in the order of the disk: the tools open these, and
   * never the image's own file. Such an image is only read.
   */
  readonly extents?: readonly LayerExtent[];
}
export type Chain = readonly [Layer, ...Layer[]];

export interface CreateRequest extends Layout {
  readonly format: ImageFormat;
  readonly sizeBytes: bigint;
  readonly preallocation: Preallocation;
  readonly backing?: { readonly storedName: string; readonly format: ImageFormat; readonly lengthBytes: bigint };
  /** Encrypts with LUKS. */
  readonly passphrase?: Uint8Array;
}

export interface ConvertRequest extends Layout {
  readonly format: ImageFormat;
  readonly compress: boolean;
  readonly compressionType?: 'zlib' | 'zstd';
  readonly preallocation: Preallocation;
  readonly snapshot?: string;
  readonly bytesPerSecond?: bigint;
  /** Write past the page cache; the filesystem must be able to. */
  readonly direct: boolean;
  /** Read although a process writes: the caller vouches for the content. */
  readonly shared: boolean;
  readonly passphrase?: Uint8Array;
}

/** What is measured, and how the other format would be. */
export interface MeasureOf {
  readonly snapshot?: string;
  readonly clusterSizeBytes?: bigint;
  readonly extendedL2?: boolean;
}

/**
 * What qemu-img does for us. Failures: TOOL_FAILED, TOOL_MISSING, NO_SPACE, IMAGE_IN_USE, IO_ERROR,
 * UNSUPPORTED_BY_BACKEND …
 */
export interface ImageTool {
  create(target: FileRef, request: CreateRequest, run: ToolRun): Promise<void>;
  convert(source: Chain, target: FileRef, request: ConvertRequest, run: ToolRun): Promise<void>;
  /** Extents in order, without gaps. */
  map(source: Chain, run: ToolRun): AsyncIterable<Extent>;
  /**
   * Space in another format, of the current state or of a snapshot; unset clusters are the format's
   * own.
   */
  measure(
    source: Chain,
    format: ImageFormat,
    run: ToolRun,
    of?: MeasureOf,
  ): Promise<{ requiredBytes: bigint; fullyAllocatedBytes: bigint }>;
  /**
   * What the tool takes a stranger's image for that has been taken in, without being told; of a VHD
   * the size is the one that it has when told how to open it.
   */
  identify(image: Layer, run: ToolRun): Promise<{ readonly format: string; readonly virtualSizeBytes: bigint }>;
  /** Whether two files hold the same bytes, holes being zeros. */
  equal(first: FileRef, second: FileRef, run: ToolRun): Promise<boolean>;
}

/**
 * Copying without reading: sharing extents between two files of one filesystem, or inside of a
 * cluster.
 */
export interface Reflink {
  /** How results name it, and why it is what can be done, when nothing speaks against it. */
  describe(source: FileRef): { readonly shown: string; readonly why: string };
  /** Why it can't be done between these, if that is known without trying. */
  objection(source: Resolved, directory: Handle): Promise<string | undefined>;
  /** True when done, or why the filesystem refused. */
  clone(source: FileRef, target: FileRef, run: ToolRun): Promise<true | { readonly refused: string }>;
}

/** Milliseconds since 1970. */
export type Clock = () => number;
