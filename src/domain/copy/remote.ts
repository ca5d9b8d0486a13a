import type { ImageAddress } from '../model/address.js';
import type { DataExtent } from '../model/block-digest.js';
import type { FarSource, PushOptions } from './agents.js';
import type { FileRef, Resolved } from '../ports/handles.js';
import type { ToolRun } from '../ports/tools.js';

/** A far host that is reached by ssh. */
export interface SshHost {
  readonly host: string;
  readonly port?: number;
  readonly user?: string;
}

/** The far end of a copy. */
export interface Remote extends SshHost {
  /** It runs an agent; otherwise it is reached by ssh. */
  readonly agent: boolean;
  readonly side: 'source' | 'target';
}

/** A file on a far host, and what that host can do. */
export interface FarFile {
  readonly lengthBytes: bigint;
  readonly allocatedBytes: bigint;
  /** Changes when the file changes. */
  readonly fingerprint: string;
  /** What comes from its host is as good as our own. */
  readonly trusted: boolean;
  readonly tools: FarTools;
}

export interface FarTools {
  readonly rsync: boolean;
  readonly qemuNbd: boolean;
}

/** A private folder beside the target on a far host, in which `part` comes into being. */
export interface FarPart {
  readonly host: SshHost;
  readonly target: ImageAddress;
  /** Absolute path there. */
  readonly folder: string;
}

export interface FarAttributes {
  readonly owner?: string;
  readonly group?: string;
  readonly mode?: number;
}

/** A file that has its name on a far host. */
export interface FarPublished {
  readonly allocatedBytes: bigint;
  /** What the file that was replaced had and this one has not, in words. */
  readonly lost: readonly string[];
}

/**
 * What is done on far hosts through ssh. Fails with REMOTE_UNREACHABLE, REMOTE_NOT_TRUSTED,
 * REMOTE_REFUSED, TOOL_MISSING, and as named.
 */
export interface FarShell {
  /**
   * Fails with IMAGE_NOT_FOUND, NOT_A_FILE, ACCESS_DENIED, and with IMAGE_IN_USE while a guest
   * there writes it, unless that is allowed.
   */
  look(host: SshHost, path: ImageAddress, allowInUse: boolean, tool: ToolRun): Promise<FarFile>;
  /**
   * Makes, or finds again, the private folder for a target. `key` is the same for the same copy.
   * Fails with TARGET_EXISTS, PARENT_NOT_FOUND, NO_SPACE, NOT_A_FILE, ACCESS_DENIED, and with
   * IMAGE_IN_USE where a guest there has what is to be replaced.
   */
  prepare(
    host: SshHost,
    target: ImageAddress,
    need: { readonly key: string; readonly overwrite: boolean; readonly needBytes: bigint },
    tool: ToolRun,
  ): Promise<{ readonly part: FarPart; readonly tools: FarTools; readonly freeBytes: bigint }>;
  /** What `prepare` would find; changes nothing. */
  plan(
    host: SshHost,
    target: ImageAddress,
    tool: ToolRun,
  ): Promise<{ readonly tools: FarTools; readonly freeBytes: bigint }>;
  /**
   * Makes the part durable, gives it the target's name and removes the folder. A file that is
   * replaced keeps owner, mode, access list and attributes. Fails with TARGET_EXISTS, IMAGE_IN_USE.
   */
  publish(part: FarPart, attributes: FarAttributes, overwrite: boolean, tool: ToolRun): Promise<FarPublished>;
  /** Removes the folder. */
  discard(part: FarPart, tool: ToolRun): Promise<void>;
}

/**
 * A file that comes into being on a far host, written over NBD. Whatever becomes of us, the far
 * host keeps nothing of it until it is published.
 */
export interface FarDraft {
  /** All of a file's bytes. With `shared` also while another process writes the file. */
  write(source: Resolved, options: PushOptions, tool: ToolRun): Promise<void>;
  /** The block digest of what is there by now, from its data extents. */
  digest(extents: AsyncIterable<DataExtent>, tool: ToolRun): Promise<string>;
  /** Makes it durable, as long as it should be, and gives it its name. Fails with TARGET_EXISTS. */
  publish(): Promise<FarPublished>;
  /** Removes what was not published. */
  close(): Promise<void>;
}

/** The qemu-nbd of hosts that are reached by ssh. Fails as `FarShell`, and with IMAGE_IN_USE. */
export interface FarNbd {
  /** Whence a file of it is pulled. */
  source(host: SshHost, tool: ToolRun): FarSource;
  /**
   * Fails with TARGET_EXISTS, IMAGE_IN_USE, PARENT_NOT_FOUND, NO_SPACE, NOT_A_FILE, ACCESS_DENIED.
   */
  draft(host: SshHost, target: ImageAddress, need: DraftNeed, tool: ToolRun): Promise<FarDraft>;
}

export interface DraftNeed {
  readonly lengthBytes: bigint;
  readonly needBytes: bigint;
  readonly overwrite: boolean;
  readonly attributes: FarAttributes;
}

export interface RsyncOptions {
  readonly compress: boolean;
  readonly bytesPerSecond?: bigint;
}

/** What a run of rsync moved. */
export interface RsyncCounts {
  /** Came over the wire as data. */
  readonly literalBytes: bigint;
}

/**
 * Copies between this host and one that is reached by ssh. Fails as FarShell, and with IO_ERROR,
 * NO_SPACE, IMAGE_NOT_FOUND, SOURCE_CHANGED.
 */
export interface RsyncTool {
  /**
   * Into a folder, under the source's own name; what an earlier try left there is used. `onBytes`
   * hears how far in the file it is. Fails with SOURCE_CHANGED when more than `mostBytes` come.
   */
  receive(
    host: SshHost,
    source: ImageAddress,
    folder: FileRef,
    options: RsyncOptions & { readonly mostBytes: bigint },
    tool: ToolRun,
    onBytes: (bytes: bigint) => void,
  ): Promise<RsyncCounts>;
  send(
    source: FileRef,
    part: FarPart,
    options: RsyncOptions,
    tool: ToolRun,
    onBytes: (bytes: bigint) => void,
  ): Promise<RsyncCounts>;
  /** Whether both ends have the same bytes, by checksums of the whole files. */
  sameReceived(host: SshHost, source: ImageAddress, folder: FileRef, tool: ToolRun): Promise<boolean>;
  sameSent(source: FileRef, part: FarPart, tool: ToolRun): Promise<boolean>;
}
