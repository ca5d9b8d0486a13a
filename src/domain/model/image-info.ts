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

/** The findings of a reader; docs/images.md describes each. */
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

/** Something about an image that a caller may have to know. */
export interface Finding {
  readonly reason: (typeof FINDINGS)[number];
  readonly message: string;
}

/** An extent of a disk in the descriptor of a VMDK. */
export interface NamedExtent {
  /** `flat`: bytes as they are; `sparse`: a VMDK with its own tables; `zero`: only zeros. */
  readonly kind: 'flat' | 'sparse' | 'zero';
  readonly lengthBytes: bigint;
  /** Offset of a flat extent in its file. */
  readonly offsetBytes: bigint;
  /** Name of a file in the descriptor's folder; unset for zeros. */
  readonly name?: string;
}

/**
 * The content of a VMDK's descriptor, if all of it is understood and names only files in its own
 * folder.
 */
export interface Described {
  /** Hexadecimal. */
  readonly contentId: string;
  readonly parentContentId: string;
  /** In the order of the disk, without gaps. */
  readonly extents: readonly NamedExtent[];
}

/** The facts in a header, without opening any file that it names. */
export interface ImageFacts {
  readonly format: ImageFormat;
  readonly virtualSizeBytes: bigint;
  readonly clusterSizeBytes?: bigint;
  /** As stored. */
  readonly backingFile?: string;
  /** As stored; not every image has it. */
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
   * The field that gives a VHD's virtual size, by qemu's names. Tools get it as an option, because
   * they have another list of creators.
   */
  readonly vhdSizeFrom?: 'chs' | 'current_size';
  /**
   * The virtual size for a qemu that knows only the format, as a guest's does for a backing file;
   * unset: the same.
   */
  readonly untoldSizeBytes?: bigint;
  /**
   * The extent names in the descriptor of a VMDK, also of one that no tool here can read; each
   * once, and not more than can be read.
   */
  readonly extentNames?: readonly string[];
  /** For a readable VMDK of several files. */
  readonly described?: Described;
  /** Encrypted in qcow's old way before LUKS, with the passphrase as the key; unset: not so. */
  readonly oldEncryption?: 'aes';
  /** For a VHDX whose guest sees sectors of another size than 512 bytes. */
  readonly sectorBytes?: number;
  /** The guest's bytes, of a raw disk or a fixed VHD, begin with the mark of LUKS. */
  readonly holdsLuks?: true;
  /** qemu supports version 1 only. */
  readonly luksVersion?: number;
  readonly findings: readonly Finding[];
}

/** The facts from a header and from the filesystem. */
export interface ImageInfo extends ImageFacts {
  readonly address: ImageAddress;
  readonly fileLengthBytes: bigint;
  readonly allocatedBytes: bigint;
  /** Absolute path of the backing file. */
  readonly fullBackingFile?: string;
  readonly inUse: boolean;
}

/** A contiguous part of the guest's disk. */
export interface Extent {
  readonly offsetBytes: bigint;
  readonly lengthBytes: bigint;
  readonly data: boolean;
  readonly zero: boolean;
  readonly depth: number;
  readonly fileOffsetBytes?: bigint;
}

/** Parts that an image names, but its file lacks. */
export interface Missing {
  /** Description of the first such part. */
  readonly what: string;
  /** Its offset, in bytes of the file. */
  readonly atBytes: number;
  /** Number of such parts. */
  readonly places: number;
  readonly lengthBytes: number;
  /** The end of the last one: the original length of the file. */
  readonly endBytes: number;
}
