import type { ImageFormat } from '../model/image-format.js';
import type { ExpectedChecksum } from '../model/checksum.js';
import type { Secrets } from '../model/secrets.js';
import type { NetworkSource } from '../model/image-source.js';
import type { AddressedFile } from './handles.js';
import type { ToolRun } from './tools.js';

/** What a source says of an image beforehand; what it does not say is unset. */
export interface SourceFacts {
  readonly checksum?: ExpectedChecksum;
  readonly format?: ImageFormat;
  /** The format is that of a file in what comes, if that is an archive. */
  readonly packed?: boolean;
  /** By which it has a checksum that cannot be computed here, and no other one. */
  readonly unknownAlgorithm?: string;
  readonly lengthBytes?: bigint;
  readonly virtualSizeBytes?: bigint;
  /** A disk must have so much for the image to be of use. */
  readonly minDiskBytes?: bigint;
  /** Its bytes never change. */
  readonly immutable?: boolean;
}

/** The bytes from an offset on, of the content of a validator where there is one. */
export interface WantedBytes {
  readonly offset: bigint;
  readonly validator?: string;
  /** How long that content is. */
  readonly totalBytes?: bigint;
}

/** The answer to a request for the bytes from an offset on. */
export interface SourceAnswer {
  /** Where the body begins: the offset that was asked for, or 0 when the whole file comes. */
  readonly offset: bigint;
  readonly totalBytes?: bigint;
  /** Tells this content, byte by byte, from an earlier or later one under the same name. */
  readonly validator?: string;
  /** Tells it well enough to ask later whether it is still the same. */
  readonly freshness?: string;
  /** A later request can go on where this body stops. */
  readonly resumable: boolean;
  /**
   * What it means that the body ends without a failure: that is the end of the file, or of a part
   * behind which there may be more; or the line was closed, at the end or before it.
   */
  readonly ends: 'whole' | 'part' | 'line';
  /** It says that it is a web page. */
  readonly webPage: boolean;
  /** To be read to its end or left; both free the connection. Fails with SOURCE_UNAVAILABLE. */
  readonly body: AsyncIterable<Uint8Array>;
  /** So many bytes came over the network for what was read of the body. */
  readonly receivedBytes: () => number;
  /** Frees the connection when the body is of no use. */
  readonly discard: () => void;
}

/**
 * A file at a source in the network. Failures: SOURCE_UNAVAILABLE (trying again may help),
 * SOURCE_NOT_FOUND, SOURCE_REFUSED, SOURCE_FORBIDDEN.
 */
export interface RemoteFile {
  describe(signal: AbortSignal): Promise<SourceFacts>;
  /** With a validator the server is asked for the rest only if the content is still that one. */
  read(from: WantedBytes, signal: AbortSignal): Promise<SourceAnswer>;
  /**
   * Whether it gives this caller, and still has, the content of this freshness; where a server
   * leaves that open, it does not.
   */
  isStill(freshness: string, signal: AbortSignal): Promise<boolean>;
}

export interface Sources {
  open(source: NetworkSource, secrets: Secrets): RemoteFile;
}

/** How patient a transfer is. */
export interface TransferRules {
  /** Attempts without a new byte before it is given up. */
  readonly attempts: number;
  readonly backoffMs: number;
  readonly maxBackoffMs: number;
  /** Fewer than `minBytesPerSecond` on average over so long is a stall. */
  readonly stallMs: number;
  readonly minBytesPerSecond: number;
  /** No file that is fetched may be longer, nor what it expands to. */
  readonly maxBytes: bigint;
}

export const COMPRESSIONS = ['gzip', 'xz', 'zstd', 'bzip2'] as const;
export type Compression = (typeof COMPRESSIONS)[number];

/** Takes what was compressed apart, in order. */
export interface Expander {
  /**
   * `followed`: something else comes after the end of what was compressed, such as a signature, and
   * was left out. Fails with IMAGE_MALFORMED, TOOL_MISSING, IO_ERROR; and with whatever `take`
   * throws.
   */
  expand(
    compression: Compression,
    file: AddressedFile,
    take: (piece: Uint8Array) => Promise<void>,
    tool: ToolRun,
  ): Promise<'all' | 'followed'>;
  /**
   * Whether what was compressed has its end in these bytes, whatever follows it there. Fails with
   * TOOL_MISSING, and as `bytes`.
   */
  endsWithin(compression: Compression, bytes: AsyncIterable<Uint8Array>, tool: ToolRun): Promise<boolean>;
}

export type ArchiveKind = 'tar' | 'zip';

/** A regular file in an archive. */
export interface ArchiveMember {
  readonly name: string;
  readonly sizeBytes: bigint;
  /** Another name of this earlier one, which has the bytes. */
  readonly linkTo?: string;
  /** Why it cannot be taken out, as in `it is compressed by LZMA`. */
  readonly sealed?: string;
}

/** Takes single files out of archives. Failures: IMAGE_MALFORMED, TOOL_MISSING, IO_ERROR. */
export interface Archives {
  /** Its regular files, in order; of more than 10,000 members none. */
  list(kind: ArchiveKind, file: AddressedFile, tool: ToolRun): Promise<readonly ArchiveMember[]>;
  /** The bytes of one, in order, zeros for its holes; fails also with whatever `take` throws. */
  read(
    kind: ArchiveKind,
    file: AddressedFile,
    member: ArchiveMember,
    take: (piece: Uint8Array) => Promise<void>,
    tool: ToolRun,
  ): Promise<void>;
}
