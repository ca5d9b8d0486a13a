import type { ImageAddress } from '../model/address.js';
import type { OperationPhase, Progress, Warning } from '../operations/record.js';
import type { CopyResult, Plan } from '../operations/results.js';
import type { DataExtent } from '../model/block-digest.js';
import type { FileAttributes, FileRef, Resolved } from '../ports/handles.js';
import type { ToolRun } from '../ports/tools.js';

/**
 * Where NBD is spoken: over TLS with a key, or on a socket of this host that leads to the far one.
 */
export type NbdPlace =
  { readonly host: string; readonly port: number; readonly key: Uint8Array } | { readonly socket: FileRef };

/** A far file that is served to us. */
export interface FarExport {
  readonly place: NbdPlace;
  /** Names it, and cannot be guessed. */
  readonly name: string;
  readonly lengthBytes: bigint;
  /** Changes when the file does. */
  readonly fingerprint: string;
}

/** What the far agent is asked to pull from us. */
export interface PullRequest {
  readonly source: ImageAddress;
  readonly target: ImageAddress;
  readonly verify: boolean;
  readonly overwrite: boolean;
  readonly allowDependants: boolean;
  readonly allowInUse: boolean;
  readonly attributes: FileAttributes;
  readonly bytesPerSecond?: bigint;
  /** The same for the same work: a repetition finds it. */
  readonly requestId: string;
}

/** What the far agent pulled. */
export type FarCopy = Omit<CopyResult, 'kind' | 'target'> & {
  /** It did so for an earlier call with the same request id. */
  readonly replayed: boolean;
  /** What it has to say of it, such as rights of a replaced file that the new one has not. */
  readonly warnings: readonly Warning[];
};

export type FarProgress = (progress: Progress, phase: OperationPhase | undefined) => void;

/**
 * Where files are pulled from. Fails with REMOTE_UNREACHABLE, REMOTE_NOT_TRUSTED, REMOTE_REFUSED,
 * and as named.
 */
export interface FarSource {
  /** What is pulled from it is as good as our own. */
  readonly trusted: boolean;
  openExport(source: ImageAddress, allowInUse: boolean, signal: AbortSignal): Promise<FarExport>;
  /** Its extents, and which of them are data. */
  map(source: ImageAddress, signal: AbortSignal): AsyncIterable<DataExtent>;
  /** Fails with SOURCE_CHANGED, also when the name stands for another file by now. */
  closeExport(name: string, signal: AbortSignal): Promise<void>;
  digest(source: ImageAddress, signal: AbortSignal): Promise<string>;
  /** Lets go of the line, and of what serves the file if it is still there. */
  close(): Promise<void>;
}

/**
 * An agent on a far host. REMOTE_NOT_TRUSTED: its certificate; REMOTE_REFUSED: ours. Fails with
 * what the far agent fails with, too. It is asked for extents itself: over NBD 8 TiB of hole are
 * 4,000 round trips.
 */
export interface FarAgent extends FarSource {
  /**
   * Has it pull from us; cancelled there when the signal says so. `onProgress` hears in which phase
   * it is there, where that is known.
   */
  pull(request: PullRequest, signal: AbortSignal, onProgress: FarProgress): Promise<FarCopy>;
  /** What `pull` would do. */
  planPull(request: PullRequest, signal: AbortSignal): Promise<Omit<Plan, 'kind'>>;
}

export interface FarAgents {
  /** Whether the configuration names an agent of this host. */
  knows(host: string): boolean;
  /**
   * `caller` goes into the audit log of the far agent. Fails with REMOTE_UNREACHABLE when it knows
   * none.
   */
  connect(host: string, caller?: string): Promise<FarAgent>;
}

/**
 * Reads and writes what is served. Fails with REMOTE_UNREACHABLE, STALLED, TOOL_FAILED, NO_SPACE,
 * IO_ERROR.
 */
export interface NbdTool {
  /**
   * Copies the range to the same place in the target, which holds zeros there or what an earlier
   * try wrote.
   */
  pull(source: FarExport, range: Segment, target: FileRef, options: PullOptions, tool: ToolRun): Promise<void>;
  /**
   * Copies a file's bytes into an export of at least its length that is all hole. With `shared`
   * also while another process writes the file.
   */
  push(source: Resolved, place: NbdPlace, name: string, options: PushOptions, tool: ToolRun): Promise<void>;
  /** Its extents, and which of them are data; asked over NBD. */
  map(source: FarExport, tool: ToolRun): AsyncIterable<DataExtent>;
}

/** From, and up to but without. */
export interface Segment {
  readonly from: bigint;
  readonly to: bigint;
  /** So much of it is data. */
  readonly dataBytes: bigint;
}

export interface PullOptions {
  readonly bytesPerSecond?: bigint;
  /** Past the page cache. */
  readonly direct: boolean;
}

export interface PushOptions {
  readonly bytesPerSecond?: bigint;
  readonly shared: boolean;
}
