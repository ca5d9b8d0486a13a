import type { NamedExtent, ImageFacts, Extent } from '../model/image-info.js';
import type { Resolved, FileRef, Handle } from './handles.js';
import type { ImageFormat, Preallocation } from '../model/image-format.js';
import type { Layout } from '../model/image-layout.js';

/** A process, and what distinguishes it from a later one with the same pid. */
export interface RunningTool {
  readonly pid: number;
  readonly start: string;
}

/** Ends child processes that an earlier daemon left running. */
export interface OrphanTools {
  end(child: RunningTool): Promise<void>;
}

/** The context of a running tool: receives its reports, and can end it. */
export interface ToolRun {
  readonly signal: AbortSignal;
  /** Called with the child when it starts, and with undefined when it has ended. */
  onChild(child: RunningTool | undefined): void;
  /** 0 to 1; `aheadBytes` of it may only have been started. */
  onFraction?(fraction: number, aheadBytes?: bigint): void;
}

/** A run that ignores reports. Without a signal only the tool's own limits end it. */
export function plainRun(signal: AbortSignal = new AbortController().signal): ToolRun {
  return { signal, onChild: () => undefined };
}

/** An extent of an image's disk; without a file it is zeros. */
export interface LayerExtent extends Omit<NamedExtent, 'name'> {
  readonly file?: Resolved;
}

/** An image with all its backing files, top first, each with its format known. */
export interface Layer {
  readonly file: Resolved;
  readonly format: ImageFormat;
  readonly facts: ImageFacts;
  /**
   * Untrusted: no tool may open it in place (`inPlace`). In quarantine (`quarantined`), where no
   * other process can change it, and checked there, it may be opened in the sandbox, under the
   * limits for such images.
   */
  readonly untrusted?: 'inPlace' | 'quarantined';
  /** Opens an encrypted image. Never written anywhere; tools refer to it by the id. */
  readonly opens?: { readonly id: string; readonly passphrase: Uint8Array };
  /**
   * For an image of several files, all of it in the order of the disk: the tools open these, and
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
  /** Write with O_DIRECT; the filesystem must support it. */
  readonly direct: boolean;
  /** Read although a process writes: the caller vouches for the content. */
  readonly shared: boolean;
  readonly passphrase?: Uint8Array;
}

/** What is measured, and in which other format. */
export interface MeasureOf {
  readonly snapshot?: string;
  readonly clusterSizeBytes?: bigint;
  readonly extendedL2?: boolean;
}

/**
 * The functions of qemu-img. Failures: TOOL_FAILED, TOOL_MISSING, NO_SPACE, IMAGE_IN_USE, IO_ERROR,
 * UNSUPPORTED_BY_BACKEND …
 */
export interface ImageTool {
  create(target: FileRef, request: CreateRequest, tool: ToolRun): Promise<void>;
  convert(source: Chain, target: FileRef, request: ConvertRequest, tool: ToolRun): Promise<void>;
  /** Extents in order, without gaps. */
  map(source: Chain, tool: ToolRun): AsyncIterable<Extent>;
  /**
   * Space in another format, of the current state or of a snapshot; an unset cluster size is the
   * format's default.
   */
  measure(
    source: Chain,
    format: ImageFormat,
    tool: ToolRun,
    of?: MeasureOf,
  ): Promise<{ requiredBytes: bigint; fullyAllocatedBytes: bigint }>;
  /**
   * What the tool itself detects of an untrusted image in quarantine; for a VHD the size is that
   * with the given options.
   */
  identify(image: Layer, tool: ToolRun): Promise<{ readonly format: string; readonly virtualSizeBytes: bigint }>;
  /** Whether two files hold the same bytes; holes are zeros. */
  equal(first: FileRef, second: FileRef, tool: ToolRun): Promise<boolean>;
}

/**
 * Copies without reading: by sharing extents between two files of one filesystem, or inside a
 * cluster.
 */
export interface Reflink {
  /** Its name in results, and why it can be used if there is no objection. */
  describe(source: FileRef): { readonly shown: string; readonly why: string };
  /** Why it is impossible between these, if that is known without trying. */
  objection(source: Resolved, directory: Handle): Promise<string | undefined>;
  /** True when done, or why the filesystem refused. */
  clone(source: FileRef, target: FileRef, tool: ToolRun): Promise<true | { readonly refused: string }>;
}
