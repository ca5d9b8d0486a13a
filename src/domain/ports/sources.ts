import type { ImageFormat } from '../model/image-format.js';
import type { ExpectedChecksum } from '../model/checksum.js';
import type { Secrets } from '../model/secrets.js';
import type { NetworkSource } from '../model/image-source.js';
import type { AddressedFile } from './handles.js';
import type { ToolRun } from './tools.js';

/** The source's announcements about an image; what it does not announce is unset. */
export interface SourceFacts {
  readonly checksum?: ExpectedChecksum;
  readonly format?: ImageFormat;
  /** The format is that of a file inside the received one, if that is an archive. */
  readonly packed?: boolean;
  /** The algorithm of its only checksum, which cannot be computed here. */
  readonly unknownAlgorithm?: string;
  readonly lengthBytes?: bigint;
  readonly virtualSizeBytes?: bigint;
  /** Minimum size of a disk for the image. */
  readonly minDiskBytes?: bigint;
  /** Its bytes never change. */
  readonly immutable?: boolean;
}

/** The bytes from an offset on, of the content with a validator if there is one. */
export interface WantedBytes {
  readonly offset: bigint;
  readonly validator?: string;
  /** The length of that content. */
  readonly totalBytes?: bigint;
}

/** The answer to a request for the bytes from an offset on. */
export interface SourceAnswer {
  /** Where the body begins: the requested offset, or 0 if the whole file is sent. */
  readonly offset: bigint;
  readonly totalBytes?: bigint;
  /** Distinguishes this content, byte by byte, from other versions under the same name. */
  readonly validator?: string;
  /** Sufficient to check later whether it is still the same. */
  readonly freshness?: string;
  /** A later request can resume where this body stops. */
  readonly resumable: boolean;
  /**
   * The meaning of the body's end without an error: the end of the file; the end of a part, after
   * which there may be more; or the connection was closed, at the end or before it.
   */
  readonly ends: 'whole' | 'part' | 'line';
  /** The server declares it to be a web page. */
  readonly webPage: boolean;
  /** Read it to its end or leave it; both close the connection. Fails with SOURCE_UNAVAILABLE. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Bytes received over the network for the part of the body that was read. */
  readonly receivedBytes: () => number;
  /** Closes the connection when the body is not needed. */
  readonly discard: () => void;
}

/**
 * A file at a network source. Failures: SOURCE_UNAVAILABLE (a retry may help), SOURCE_NOT_FOUND,
 * SOURCE_REFUSED, SOURCE_FORBIDDEN.
 */
export interface RemoteFile {
  describe(signal: AbortSignal): Promise<SourceFacts>;
  /** With a validator the server sends the rest only if the content is still the same. */
  read(from: WantedBytes, signal: AbortSignal): Promise<SourceAnswer>;
  /**
   * Whether the source gives this caller the content with this freshness, and still has it; false
   * if the server does not say.
   */
  isStill(freshness: string, signal: AbortSignal): Promise<boolean>;
}

export interface Sources {
  open(source: NetworkSource, secrets: Secrets): RemoteFile;
}

/** Limits of a transfer. */
export interface TransferRules {
  /** Attempts without a new byte before it is given up. */
  readonly attempts: number;
  readonly backoffMs: number;
  readonly maxBackoffMs: number;
  /** Fewer than `minBytesPerSecond` on average over this time is a stall. */
  readonly stallMs: number;
  readonly minBytesPerSecond: number;
  /** Maximum length of a fetched file, and of its decompressed content. */
  readonly maxBytes: bigint;
}

export const COMPRESSIONS = ['gzip', 'xz', 'zstd', 'bzip2'] as const;
export type Compression = (typeof COMPRESSIONS)[number];

/** Decompresses files, in order. */
export interface Expander {
  /**
   * `followed`: other data, such as a signature, comes after the compressed data and was left out.
   * Fails with IMAGE_MALFORMED, TOOL_MISSING, IO_ERROR; and with whatever `take` throws.
   */
  expand(
    compression: Compression,
    file: AddressedFile,
    take: (piece: Uint8Array) => Promise<void>,
    tool: ToolRun,
  ): Promise<'all' | 'followed'>;
  /**
   * Whether the compressed data ends within these bytes, whatever follows it. Fails with
   * TOOL_MISSING, and as `bytes`.
   */
  endsWithin(compression: Compression, bytes: AsyncIterable<Uint8Array>, tool: ToolRun): Promise<boolean>;
}

export type ArchiveKind = 'tar' | 'zip';

/** A regular file in an archive. */
export interface ArchiveMember {
  readonly name: string;
  readonly sizeBytes: bigint;
  /** The earlier member with the bytes, of which this is another name. */
  readonly linkTo?: string;
  /** Why it cannot be extracted, as in `it is compressed by LZMA`. */
  readonly sealed?: string;
}

/** Extracts single files from archives. Failures: IMAGE_MALFORMED, TOOL_MISSING, IO_ERROR. */
export interface Archives {
  /** Its regular files, in order; none if there are more than 10,000 members. */
  list(kind: ArchiveKind, file: AddressedFile, tool: ToolRun): Promise<readonly ArchiveMember[]>;
  /**
   * The bytes of one member, in order, with zeros for its holes; fails also with whatever `take`
   * throws.
   */
  read(
    kind: ArchiveKind,
    file: AddressedFile,
    member: ArchiveMember,
    take: (piece: Uint8Array) => Promise<void>,
    tool: ToolRun,
  ): Promise<void>;
}
