import type { ImageAddress } from '../address.js';
import type { CopyResult, Progress } from '../operations/record.js';
import type { FileAttributes, FileRef, ToolRun } from '../ports.js';
import type { Stretch } from '../block-digest.js';

/** A far file that is served to us. */
export interface FarExport {
  readonly host: string;
  readonly port: number;
  /** Names it, and cannot be guessed. */
  readonly name: string;
  readonly key: Uint8Array;
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
  readonly planOnly: boolean;
  /** The same for the same work: a repetition finds it. */
  readonly requestId: string;
}

/**
 * An agent on a far host. Fails with REMOTE_UNREACHABLE, REMOTE_NOT_TRUSTED (its certificate), REMOTE_REFUSED (ours), and with what the
 * far agent fails with.
 */
export interface FarAgent {
  /** What is pulled from it is as good as our own. */
  readonly trusted: boolean;
  openExport(source: ImageAddress, allowInUse: boolean, signal: AbortSignal): Promise<FarExport>;
  /** Which stretches of its bytes are data. Asked of the agent: over NBD 8 TiB of hole are 4,000 round trips. */
  map(source: ImageAddress, signal: AbortSignal): AsyncIterable<Stretch>;
  /** Fails with SOURCE_CHANGED, also when the name stands for another file by now. */
  closeExport(name: string, signal: AbortSignal): Promise<void>;
  digest(source: ImageAddress, signal: AbortSignal): Promise<string>;
  /** Has it pull from us; cancelled there when the signal says so. */
  pull(
    request: PullRequest,
    signal: AbortSignal,
    onProgress: (progress: Progress) => void,
  ): Promise<Omit<CopyResult, 'kind' | 'target'>>;
  /** Lets go of the line. */
  close(): void;
}

export interface FarAgents {
  /** Whether the configuration names an agent of this host. */
  knows(host: string): boolean;
  /** Its audit log is told for whom. Fails with REMOTE_UNREACHABLE when it knows none. */
  connect(host: string, caller?: string): Promise<FarAgent>;
}

/** Reads what an agent serves. Fails with REMOTE_UNREACHABLE, STALLED, TOOL_FAILED, NO_SPACE. */
export interface NbdTool {
  /** Copies the stretch to the same place in the target, which holds zeros there or what an earlier try wrote. */
  pull(source: FarExport, stretch: Segment, target: FileRef, options: PullOptions, run: ToolRun): Promise<void>;
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
