import type { ImageAddress } from '../model/address.js';
import type { DataExtent } from '../model/block-digest.js';
import type { FarSource, PushOptions } from './agents.js';
import type { FileRef, Resolved } from '../ports/handles.js';
import type { ToolRun } from '../ports/tools.js';

/** A remote host that is reached by ssh. */
export interface SshHost {
  readonly host: string;
  readonly port?: number;
  readonly user?: string;
}

/** The other host of a copy. */
export interface Remote extends SshHost {
  /** True: through its agent; false: by ssh. */
  readonly agent: boolean;
  readonly side: 'source' | 'target';
}

/** A file on a remote host, and the tools of that host. */
export interface FarFile {
  readonly lengthBytes: bigint;
  readonly allocatedBytes: bigint;
  /** A text that differs after the file has changed. */
  readonly fingerprint: string;
  /** Whether files of its host are trusted. */
  readonly trusted: boolean;
  readonly tools: FarTools;
}

export interface FarTools {
  readonly rsync: boolean;
  readonly qemuNbd: boolean;
}

/** A private folder beside the target on a remote host, in which `part` is created. */
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

/** A published file on a remote host. */
export interface FarPublished {
  readonly allocatedBytes: bigint;
  /** Attributes of the replaced file that the new one lacks, as text. */
  readonly lost: readonly string[];
}

/**
 * Actions on remote hosts through ssh. Fails with REMOTE_UNREACHABLE, REMOTE_NOT_TRUSTED,
 * REMOTE_REFUSED, TOOL_MISSING, and as stated.
 */
export interface FarShell {
  /**
   * Fails with IMAGE_NOT_FOUND, NOT_A_FILE, ACCESS_DENIED, and with IMAGE_IN_USE while a guest
   * there writes the file, unless that is allowed.
   */
  look(host: SshHost, path: ImageAddress, allowInUse: boolean, tool: ToolRun): Promise<FarFile>;
  /**
   * Makes, or finds again, the private folder for a target. `key` is the same for the same copy.
   * Fails with TARGET_EXISTS, PARENT_NOT_FOUND, NO_SPACE, NOT_A_FILE, ACCESS_DENIED, and with
   * IMAGE_IN_USE if a guest there has the file open that is to be replaced.
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
   * Makes the part durable, gives it the target's name and removes the folder. A file that replaces
   * another keeps its owner, mode, access list and attributes. Fails with TARGET_EXISTS,
   * IMAGE_IN_USE.
   */
  publish(part: FarPart, attributes: FarAttributes, overwrite: boolean, tool: ToolRun): Promise<FarPublished>;
  /** Removes the folder. */
  discard(part: FarPart, tool: ToolRun): Promise<void>;
}

/**
 * A new file on a remote host that is written over NBD. Until it is published the remote host keeps
 * nothing of it, even if this host crashes.
 */
export interface FarDraft {
  /** Writes all bytes of a file. With `shared`, another process may write the file meanwhile. */
  write(source: Resolved, options: PushOptions, tool: ToolRun): Promise<void>;
  /** The block digest of the data written so far, from its data extents. */
  digest(extents: AsyncIterable<DataExtent>, tool: ToolRun): Promise<string>;
  /**
   * Truncates the file to its exact length, makes it durable and gives it its name. Fails with
   * TARGET_EXISTS.
   */
  publish(): Promise<FarPublished>;
  /** Removes the file if it was not published. */
  close(): Promise<void>;
}

/** qemu-nbd on hosts that are reached by ssh. Fails as `FarShell`, and with IMAGE_IN_USE. */
export interface FarNbd {
  /** The source to pull a file of the host from. */
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
  /** Bytes that were sent as data. */
  readonly literalBytes: bigint;
}

/**
 * Copies between this host and one that is reached by ssh. Fails as FarShell, and with IO_ERROR,
 * NO_SPACE, IMAGE_NOT_FOUND, SOURCE_CHANGED.
 */
export interface RsyncTool {
  /**
   * Copies into a folder, under the source's own name; data of an earlier attempt there is reused.
   * `onBytes` gets the offset in the file. Fails with SOURCE_CHANGED if more than `mostBytes`
   * arrive.
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
  /** Whether both files have the same bytes, by checksums of the whole files. */
  sameReceived(host: SshHost, source: ImageAddress, folder: FileRef, tool: ToolRun): Promise<boolean>;
  sameSent(source: FileRef, part: FarPart, tool: ToolRun): Promise<boolean>;
}
