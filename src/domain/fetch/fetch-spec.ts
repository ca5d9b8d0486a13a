import type { SourceSpec } from '../model/image-source.js';
import type { ImageAddress } from '../model/address.js';
import type { ImageFormat } from '../model/image-format.js';
import type { Layout } from '../model/image-layout.js';
import type { ExpectedChecksum } from '../model/checksum.js';
import type { FileAttributes } from '../ports/handles.js';

/** How the target is laid out is chosen only with its format, or of an overlay. */
export interface FetchSpec extends Layout {
  readonly source: SourceSpec;
  readonly target: ImageAddress;
  /** Unset: as the source. */
  readonly format?: ImageFormat;
  /** Unset: as the source says, else it is detected. */
  readonly sourceFormat?: ImageFormat;
  /** Which file of the archive that comes; unset: what comes is the image. */
  readonly archiveMember?: string;
  readonly maxSizeBytes?: bigint;
  readonly checksum?: ExpectedChecksum;
  readonly useCache: boolean;
  /** Only with the cache. */
  readonly overlay: boolean;
  readonly overwrite: boolean;
  readonly attributes: FileAttributes;
}
