import { BLOCK_ALGORITHM } from './block-digest.js';
/** Supported algorithms. Only the block digest skips long runs of zeros. */
export const CHECKSUM_ALGORITHMS = [
  BLOCK_ALGORITHM,
  'sha256',
  'sha512',
  'sha1',
  'md5',
  'blake2b512',
  'blake2s256',
  'sha224',
  'sha384',
  'sha3-224',
  'sha3-256',
  'sha3-384',
  'sha3-512',
] as const;

export type ChecksumAlgorithm = (typeof CHECKSUM_ALGORITHMS)[number];

/** Hexadecimal digits of a digest. */
export const DIGEST_DIGITS: Readonly<Record<ChecksumAlgorithm, number>> = {
  [BLOCK_ALGORITHM]: 64,
  sha256: 64,
  sha512: 128,
  sha1: 40,
  md5: 32,
  blake2b512: 128,
  blake2s256: 64,
  sha224: 56,
  sha384: 96,
  'sha3-224': 56,
  'sha3-256': 64,
  'sha3-384': 96,
  'sha3-512': 128,
};

/** An expected digest. */
export interface ExpectedChecksum extends Checksum {
  readonly algorithm: ChecksumAlgorithm;
}

/** A digest that is expected or was computed. */
export interface Checksum {
  readonly algorithm: string;
  /** Lower-case hexadecimal. */
  readonly digest: string;
}

/** The checksum as `algorithm:digest`, the form of results and metadata. */
export function checksumText({ algorithm, digest }: ExpectedChecksum): string {
  return `${algorithm}:${digest}`;
}
