import type { ImageAddress } from '../model/address.js';
import type { OperationPhase, Progress, Warning } from '../operations/record.js';
import type { CopyResult, Plan } from '../operations/results.js';
import type { DataExtent } from '../model/block-digest.js';
import type { FileAttributes, FileRef, Resolved } from '../ports/handles.js';
import type { ToolRun } from '../ports/tools.js';

/** Where NBD is spoken: over TLS with a key, or on a local socket that leads to the remote one. */
export type NbdPlace =
  { readonly host: string; readonly port: number; readonly key: Uint8Array } | { readonly socket: FileRef };

/** A remote file that is served to this host. */
export interface FarExport {
  readonly place: NbdPlace;
  /** An unguessable name. */
  readonly name: string;
  readonly lengthBytes: bigint;
  /** A text that differs after the file has changed. */
  readonly fingerprint: string;
}

/** The request for a peer to pull from this host. */
export interface PullRequest {
  readonly source: ImageAddress;
  readonly target: ImageAddress;
  readonly verify: boolean;
  readonly overwrite: boolean;
  readonly allowDependants: boolean;
  readonly allowInUse: boolean;
  readonly attributes: FileAttributes;
  readonly bytesPerSecond?: bigint;
  /** The same for the same work, so that a repeated request finds it. */
  readonly requestId: string;
}

/** The result of a peer's pull. */
export type FarCopy = Omit<CopyResult, 'kind' | 'target'> & {
  /** Whether it is the result of an earlier call with the same request id. */
  readonly replayed: boolean;
  /** Warnings of the peer, such as rights of a replaced file that the new one lacks. */
  readonly warnings: readonly Warning[];
};

export type FarProgress = (progress: Progress, phase: OperationPhase | undefined) => void;

/**
 * A host that files are pulled from. Fails with REMOTE_UNREACHABLE, REMOTE_NOT_TRUSTED,
 * REMOTE_REFUSED, and as stated.
 */
export interface FarSource {
  /** Whether images from it are trusted. */
  readonly trusted: boolean;
  openExport(source: ImageAddress, allowInUse: boolean, signal: AbortSignal): Promise<FarExport>;
  /** The extents of a file, and which of them are data. */
  map(source: ImageAddress, signal: AbortSignal): AsyncIterable<DataExtent>;
  /** Fails with SOURCE_CHANGED, also if the name belongs to another file by now. */
  closeExport(name: string, signal: AbortSignal): Promise<void>;
  digest(source: ImageAddress, signal: AbortSignal): Promise<string>;
  /** Closes the connection, and ends the process that serves the file if it is still running. */
  close(): Promise<void>;
}

/**
 * An agent on another host. REMOTE_NOT_TRUSTED concerns its certificate; REMOTE_REFUSED this
 * host's. Also fails with the errors of the peer. Extents are requested from the agent itself: over
 * NBD, 8 TiB of hole would need 4,000 round trips.
 */
export interface FarAgent extends FarSource {
  /**
   * Makes the peer pull from this host; the signal cancels the operation there. `onProgress` gets
   * the phase there, if known.
   */
  pull(request: PullRequest, signal: AbortSignal, onProgress: FarProgress): Promise<FarCopy>;
  /** The plan of `pull`. */
  planPull(request: PullRequest, signal: AbortSignal): Promise<Omit<Plan, 'kind'>>;
}

export interface FarAgents {
  /** Whether the configuration has an agent for this host. */
  knows(host: string): boolean;
  /**
   * `caller` is recorded in the peer's audit log. Fails with REMOTE_UNREACHABLE if the
   * configuration has no agent for the host.
   */
  connect(host: string, caller?: string): Promise<FarAgent>;
}

/**
 * Reads and writes NBD exports. Fails with REMOTE_UNREACHABLE, STALLED, TOOL_FAILED, NO_SPACE,
 * IO_ERROR.
 */
export interface NbdTool {
  /**
   * Copies the range to the same offset in the target, which holds zeros there or the data of an
   * earlier attempt.
   */
  pull(source: FarExport, range: Segment, target: FileRef, options: PullOptions, tool: ToolRun): Promise<void>;
  /**
   * Copies a file into an export of at least its length that is a single hole. With `shared`,
   * another process may write the file meanwhile.
   */
  push(source: Resolved, place: NbdPlace, name: string, options: PushOptions, tool: ToolRun): Promise<void>;
  /** The extents of an export, and which of them are data; queried over NBD. */
  map(source: FarExport, tool: ToolRun): AsyncIterable<DataExtent>;
}

/** Start, inclusive, and end, exclusive. */
export interface Segment {
  readonly from: bigint;
  readonly to: bigint;
  /** How much of it is data. */
  readonly dataBytes: bigint;
}

export interface PullOptions {
  readonly bytesPerSecond?: bigint;
  /** Whether to bypass the page cache. */
  readonly direct: boolean;
}

export interface PushOptions {
  readonly bytesPerSecond?: bigint;
  readonly shared: boolean;
}
