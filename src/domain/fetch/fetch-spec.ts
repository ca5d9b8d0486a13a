import type { SourceSpec } from '../model/image-source.js';
import type { ImageAddress } from '../model/address.js';
import type { ImageFormat } from '../model/image-format.js';
import type { Layout } from '../model/image-layout.js';
import { checksumText, type ExpectedChecksum } from '../model/checksum.js';
import type { Resume, Use } from '../operations/verb.js';
import type { FileAttributes } from '../ports/handles.js';
import type { Rate } from '../transfer/pace.js';
import { needsNoSecrets, sourceIdentity } from './source.js';
import { TRANSPORT } from './transfer-spec.js';

/** The layout of the target can be chosen only together with its format, or for an overlay. */
export interface FetchSpec extends Layout {
  readonly source: SourceSpec;
  readonly target: ImageAddress;
  /** Unset: the format of the source. */
  readonly format?: ImageFormat;
  /** Unset: the format that the source reports, or else the detected one. */
  readonly sourceFormat?: ImageFormat;
  /** The file to take from a received archive; unset: the received file is the image. */
  readonly archiveMember?: string;
  /** An encrypted image is opened with the caller's passphrase, and rewritten. */
  readonly sourceEncrypted: boolean;
  readonly maxSizeBytes?: bigint;
  readonly checksum?: ExpectedChecksum;
  /** Rate limit; unset: none. */
  readonly bytesPerSecond?: bigint;
  readonly useCache: boolean;
  /** Only with the cache. */
  readonly overlay: boolean;
  readonly overwrite: boolean;
  readonly attributes: FileAttributes;
}

/** The rate of a spec for `download`. */
export function rateOf({ bytesPerSecond }: Pick<FetchSpec, 'bytesPerSecond'>): { readonly rate?: Rate } {
  return bytesPerSecond === undefined ? {} : { rate: () => bytesPerSecond };
}

/** The addresses that a fetch locks: the target, and a source that is a file of this host. */
export function usesOf({
  source,
  target,
  overwrite,
}: Pick<FetchSpec, 'source' | 'target' | 'overwrite'>): readonly Use[] {
  return [
    ...(source.kind === 'file' ? [{ role: 'source' as const, address: source.path, allowInUse: false }] : []),
    { role: 'target', address: target, overwrite, allowDependants: false },
  ];
}

/** A fetch resumes one of the same source with the same checksum to the same target. */
export function fetchResume<
  S extends Pick<FetchSpec, 'source' | 'checksum'> & Partial<Pick<FetchSpec, 'sourceEncrypted'>>,
>(): Resume<S> {
  return {
    key: ({ source, checksum }) => `${sourceIdentity(source)} ${checksum === undefined ? '' : checksumText(checksum)}`,
    // A caller that the source refuses may have taken over data that another caller can continue
    // with.
    after: [...TRANSPORT, 'SOURCE_REFUSED'],
    alone: ({ source, sourceEncrypted = false }) => !sourceEncrypted && needsNoSecrets(source),
  };
}
