import type { ImageAddress } from './address.js';
import type { ImageFormat } from './image-format.js';

/** A snapshot inside an image. */
export interface SnapshotFacts {
  readonly id: string;
  readonly name: string;
  readonly createTimeMs: number;
  readonly virtualSizeBytes?: bigint;
  readonly vmStateBytes: bigint;
}

/** What a reader can find; docs/images.md says what each means. */
export const FINDINGS = [
  'BACKING_FORMAT_MISSING',
  'NAMES_OTHER_FILES',
  'EXTERNAL_DATA_FILE',
  'UNKNOWN_FEATURE',
  'LOG_PENDING',
  'SEVERAL_FORMATS',
  'TABLE_OUTSIDE_FILE',
  'TABLE_TOO_LARGE',
  'SIZE_BEYOND_FILE',
  'METADATA_OVERLAPS',
  'PARTITIONS_BROKEN',
  'OBSOLETE_FORMAT',
  'INTERRUPTED',
] as const;

/** Something about an image that a careful caller wants to know. */
export interface Finding {
  readonly reason: (typeof FINDINGS)[number];
  readonly message: string;
}

/** What a header says, without opening anything that it names. */
export interface ImageFacts {
  readonly format: ImageFormat;
  readonly virtualSizeBytes: bigint;
  readonly clusterSizeBytes?: bigint;
  /** As stored. */
  readonly backingFile?: string;
  /** As stored; not every image says it. */
  readonly backingFormat?: string;
  readonly encrypted: boolean;
  readonly dirty: boolean;
  readonly corrupt: boolean;
  readonly dataFile?: string;
  readonly snapshots: readonly SnapshotFacts[];
  readonly compat?: string;
  readonly compressionType?: string;
  readonly lazyRefcounts?: boolean;
  readonly extendedL2?: boolean;
  readonly refcountBits?: number;
  /** By qemu's name. */
  readonly subformat?: string;
  /** What a VHD's virtual size is taken from, in qemu's words; tools are told, because they go by another list of creators. */
  readonly vhdSizeFrom?: 'chs' | 'current_size';
  /** The virtual size for a qemu that is told nothing but the format, as a guest's is of a base; unset: the same. */
  readonly untoldSizeBytes?: bigint;
  /** qemu knows version 1 only. */
  readonly luksVersion?: number;
  readonly findings: readonly Finding[];
}

/** What a header says, with what the filesystem says. */
export interface ImageInfo extends ImageFacts {
  readonly address: ImageAddress;
  readonly fileLengthBytes: bigint;
  readonly allocatedBytes: bigint;
  /** Absolute path of the backing file. */
  readonly fullBackingFile?: string;
  readonly inUse: boolean;
}

/** A run of bytes of the guest's disk. */
export interface Extent {
  readonly offsetBytes: bigint;
  readonly lengthBytes: bigint;
  readonly data: boolean;
  readonly zero: boolean;
  readonly depth: number;
  readonly fileOffsetBytes?: bigint;
}
