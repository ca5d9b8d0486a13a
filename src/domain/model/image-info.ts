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

/** An extent of a disk, as the descriptor of a VMDK says it. */
export interface NamedExtent {
  /**
   * `flat`: bytes as they are; `sparse`: a VMDK with tables of its own; `zero`: nothing but zeros.
   */
  readonly kind: 'flat' | 'sparse' | 'zero';
  readonly lengthBytes: bigint;
  /** Where a flat one begins in its file. */
  readonly offsetBytes: bigint;
  /** Of a file in the descriptor's folder; unset for zeros. */
  readonly name?: string;
}

/**
 * What the descriptor of a VMDK says, where all of it is understood and leads to files of its own
 * folder only.
 */
export interface Described {
  /** Hexadecimal. */
  readonly contentId: string;
  readonly parentContentId: string;
  /** In the order of the disk, without gaps. */
  readonly extents: readonly NamedExtent[];
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
  /**
   * What a VHD's virtual size is taken from, in qemu's words. Tools get it as an option, because
   * they use another list of creators.
   */
  readonly vhdSizeFrom?: 'chs' | 'current_size';
  /**
   * The virtual size for a qemu that knows nothing but the format, as a guest's does of a backing
   * file; unset: the same.
   */
  readonly untoldSizeBytes?: bigint;
  /**
   * As the descriptor of a VMDK has them, also of one that is read by no tool here; each once, and
   * not more than can be read.
   */
  readonly extentNames?: readonly string[];
  /** Of a VMDK of several files that can be read. */
  readonly described?: Described;
  /** Encrypted as qcow was before LUKS, with the passphrase as the key; unset: not so. */
  readonly oldEncryption?: 'aes';
  /** Of a VHDX whose guest sees sectors that are not of 512 bytes. */
  readonly sectorBytes?: number;
  /** The guest's bytes, of a raw disk or a fixed VHD, begin with the mark of LUKS. */
  readonly holdsLuks?: true;
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

/** What an image names, and its file does not have. */
export interface Missing {
  /** What stands in the first place beyond the end of the file. */
  readonly what: string;
  /** Where that begins, in bytes of the file. */
  readonly atBytes: number;
  /** Such places in all. */
  readonly places: number;
  readonly lengthBytes: number;
  /** Where the last of them ends: so long the file was. */
  readonly endBytes: number;
}
