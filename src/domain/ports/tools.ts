import type { NamedExtent, ImageFacts, Extent } from '../model/image-info.js';
import type { Resolved, FileRef, Handle } from './handles.js';
import type { ImageFormat, Preallocation } from '../model/image-format.js';
import type { Layout } from '../model/image-layout.js';

/** A process, and what tells it from a later one with the same number. */
export interface RunningTool {
  readonly pid: number;
  readonly start: string;
}

/** Ends children that a daemon before us left running. */
export interface OrphanTools {
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

/** A run that reports to nobody. Without a signal only the tool's own limits end it. */
export function plainRun(signal: AbortSignal = new AbortController().signal): ToolRun {
  return { signal, onChild: () => undefined };
}

/** An extent of an image's disk; unset is the file of zeros. */
export interface LayerExtent extends Omit<NamedExtent, 'name'> {
  readonly file?: Resolved;
}

/** An image with all that it is backed by, top first, each with its format known. */
export interface Layer {
  readonly file: Resolved;
  readonly format: ImageFormat;
  readonly facts: ImageFacts;
  /**
   * Untrusted: no tool may open it in place (`inPlace`). In quarantine (`quarantined`), where
   * nobody else can change it, and checked there, it may be opened in the sandbox, under the limits
   * for such images.
   */
  readonly untrusted?: 'inPlace' | 'quarantined';
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
  create(target: FileRef, request: CreateRequest, tool: ToolRun): Promise<void>;
  convert(source: Chain, target: FileRef, request: ConvertRequest, tool: ToolRun): Promise<void>;
  /** Extents in order, without gaps. */
  map(source: Chain, tool: ToolRun): AsyncIterable<Extent>;
  /**
   * Space in another format, of the current state or of a snapshot; unset clusters are the format's
   * own.
   */
  measure(
    source: Chain,
    format: ImageFormat,
    tool: ToolRun,
    of?: MeasureOf,
  ): Promise<{ requiredBytes: bigint; fullyAllocatedBytes: bigint }>;
  /**
   * What the tool detects of an untrusted image in quarantine by itself; of a VHD the size is the
   * one for the given options.
   */
  identify(image: Layer, tool: ToolRun): Promise<{ readonly format: string; readonly virtualSizeBytes: bigint }>;
  /** Whether two files hold the same bytes, holes being zeros. */
  equal(first: FileRef, second: FileRef, tool: ToolRun): Promise<boolean>;
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
  clone(source: FileRef, target: FileRef, tool: ToolRun): Promise<true | { readonly refused: string }>;
}
