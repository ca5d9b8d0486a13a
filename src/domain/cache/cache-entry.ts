import { createHash } from 'node:crypto';
import { asAddress, type ImageAddress } from '../model/address.js';
import { forAllCallers, sourceIdentity } from '../fetch/source.js';
import type { CacheEntry, CacheKeyRequest } from '../ports/image-cache.js';

/** Begins addresses of cached images. No caller can write one: theirs begin with `/` or `rbd:`. */
export const CACHE_SCHEME = 'cache:';
const KEY_DIGITS = 24;

/** Whether callers with and without secrets may be given different contents. */
export function mustBeAsked({ source, checksum }: CacheKeyRequest): boolean {
  return source.kind === 'http' && source.headers && checksum === undefined;
}

/** The same for wishes that one file fulfils. */
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

/** Whether it can be given again: something tells that it still is what the wish is for. */
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
