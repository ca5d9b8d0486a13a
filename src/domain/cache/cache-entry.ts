import { createHash } from 'node:crypto';
import { asAddress, type ImageAddress } from '../model/address.js';
import { invalidFields } from '../model/errors.js';
import type { FetchSpec } from '../fetch/fetch-spec.js';
import { forAllCallers, sourceIdentity } from '../fetch/source.js';
import type { CacheEntry, CacheKeyRequest } from '../ports/image-cache.js';

/**
 * Prefix of the addresses of cached images. No caller can use one: callers' addresses begin with
 * `/` or `rbd:`.
 */
export const CACHE_SCHEME = 'cache:';
const KEY_DIGITS = 24;

/** What a fetch requests from the cache. */
export type CacheRequest = Pick<
  FetchSpec,
  'source' | 'sourceFormat' | 'archiveMember' | 'format' | 'maxSizeBytes' | 'checksum' | 'bytesPerSecond'
> &
  Partial<Pick<FetchSpec, 'overlay'>>;

/**
 * The cache key of a request. Fails with INVALID_FIELD for a file of this host, which is never
 * cached.
 */
export function cacheKeyRequestOf({
  source,
  sourceFormat,
  format,
  archiveMember,
  checksum,
  overlay = false,
}: Omit<CacheRequest, 'maxSizeBytes' | 'bytesPerSecond'>): CacheKeyRequest {
  if (source.kind === 'file') throw invalidFields([{ field: 'use_cache', description: 'not for files of this host' }]);
  return {
    source,
    ...(sourceFormat === undefined ? {} : { sourceFormat }),
    ...(archiveMember === undefined ? {} : { archiveMember }),
    // An overlay is qcow2 whatever format its base has.
    ...(format === undefined || overlay ? {} : { format }),
    ...(checksum === undefined ? {} : { checksum }),
  };
}

/** Whether callers with and without secrets may get different contents. */
export function mustBeAsked({ source, checksum }: CacheKeyRequest): boolean {
  return source.kind === 'http' && source.headers && checksum === undefined;
}

/** Equal for requests that the same file satisfies. */
export function keyOf(request: CacheKeyRequest): string {
  const { source, sourceFormat, archiveMember, format, checksum } = request;
  const sum = checksum === undefined ? '' : `${checksum.algorithm}:${checksum.digest}`;
  const named = sourceIdentity(forAllCallers(source, checksum !== undefined));
  const parts = [named, sourceFormat ?? null, format ?? null, sum, mustBeAsked(request)];
  return createHash('sha256')
    .update(JSON.stringify([...parts, ...(archiveMember === undefined ? [] : [archiveMember])]))
    .digest('hex')
    .slice(0, KEY_DIGITS);
}

/**
 * Requests for the same content in a format from which this one can be converted without a change
 * of its size, best first.
 */
export function inOtherFormats(request: CacheKeyRequest): readonly CacheKeyRequest[] {
  const { format: wanted, ...asItIs } = request;
  if (wanted === undefined) return [];
  const made = (['raw', 'qcow2'] as const).filter((format) => format !== wanted);
  return [asItIs, ...made.map((format) => ({ ...asItIs, format }))];
}

/**
 * Whether the entry can be used again: a checksum or validator tells that it still is the requested
 * content.
 */
export function isLasting({ verified, validator }: CacheEntry, { source }: CacheKeyRequest): boolean {
  return verified || validator !== undefined || source.kind === 'glance';
}

/** The address of an entry's file. No request can name it. */
export function cacheAddress(id: string): ImageAddress {
  return asAddress(`${CACHE_SCHEME}${id}`);
}

/** The id of the entry at an address that `cacheAddress` made. */
export function cacheIdOf(address: ImageAddress): string {
  return address.slice(CACHE_SCHEME.length);
}
