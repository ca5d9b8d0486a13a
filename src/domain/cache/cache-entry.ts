import { createHash } from 'node:crypto';
import { asAddress, type ImageAddress } from '../model/address.js';
import type { ExpectedChecksum } from '../ports/sources.js';
import { forAllCallers, sourceIdentity, type NetworkSource } from '../fetch/source.js';
import type { ImageFormat } from '../model/image-format.js';
import type { ImageInfo } from '../model/image-info.js';

/** Begins addresses of cached images. No caller can write one: theirs begin with `/` or `rbd:`. */
export const CACHE_SCHEME = 'cache:';
const KEY_DIGITS = 24;

/** An image that may be wanted again. */
export interface CacheEntry {
  readonly id: string;
  /** What it is the content of. */
  readonly key: string;
  /** For people. */
  readonly source: string;
  readonly checksum: string;
  /** Asked for whether it still is when no checksum says so. */
  readonly validator?: string;
  /** Nobody has to ask whether it still is: a checksum was demanded. */
  readonly verified: boolean;
  /** It came for a caller's secrets: each caller has to be let in by the source. Unset, as of earlier versions: so it may be. */
  readonly guarded?: boolean;
  /** Callers who were given it, the latest last. They know what it is. */
  readonly knownTo?: readonly string[];
  readonly info: ImageInfo;
  readonly inode: bigint;
  readonly modifyTimeNs: bigint;
  /** Of the file as it is here; unset unless the configuration wants entries hashed before each use. */
  readonly fileSha256?: string;
  readonly createTimeMs: number;
  readonly useTimeMs: number;
  readonly pinned: boolean;
  /** Set: nobody gets it any more; its file is still ours, and stays while images may be backed by it. */
  readonly setAside?: WhySetAside;
}

/**
 * `changed`: its file is not what it was. `evicting`: its file was to be removed. `unfinished`: its file was about to get its name.
 */
export type WhySetAside = 'changed' | 'evicting' | 'unfinished';

/** What lies in the cache's folder without an entry. */
export interface UnknownFile {
  readonly name: string;
  readonly kind: 'file' | 'other';
  readonly allocatedBytes: bigint;
  readonly modifyTimeMs: number;
}

/** The cache's folder, as far as names in it are concerned. */
export interface CacheFiles {
  /** What lies there and is neither an entry's nor the daemon's own. */
  unknown(isKnown: (id: string) => boolean): Promise<readonly UnknownFile[]>;
}

/** Where entries are kept; durable when resolved. Fails with STATE_UNAVAILABLE: then it is written later. */
export interface CacheStore {
  cacheEntries(): Promise<readonly CacheEntry[]>;
  putCacheEntry(entry: CacheEntry): Promise<void>;
  removeCacheEntry(entry: CacheEntry): Promise<void>;
}

/** What somebody wants from the cache. */
export interface CacheWish {
  readonly source: NetworkSource;
  readonly sourceFormat?: ImageFormat;
  readonly archiveMember?: string;
  /** Unset: as the source. */
  readonly format?: ImageFormat;
  readonly checksum?: ExpectedChecksum;
}

/** Whether callers with and without secrets may be given different contents. */
export function mustBeAsked({ source, checksum }: CacheWish): boolean {
  return source.kind === 'http' && source.headers && checksum === undefined;
}

/** The same for wishes that one file fulfils. */
export function keyOf(wish: CacheWish): string {
  const { source, sourceFormat, archiveMember, format, checksum } = wish;
  const sum = checksum === undefined ? '' : `${checksum.algorithm}:${checksum.digest}`;
  const named = sourceIdentity(forAllCallers(source, checksum !== undefined));
  const parts = [named, sourceFormat ?? null, format ?? null, sum, mustBeAsked(wish)];
  return createHash('sha256')
    .update(JSON.stringify([...parts, ...(archiveMember === undefined ? [] : [archiveMember])]))
    .digest('hex')
    .slice(0, KEY_DIGITS);
}

/** Whether it can be given again: something tells that it still is what the wish is for. */
export function isLasting({ verified, validator }: CacheEntry, { source }: CacheWish): boolean {
  return verified || validator !== undefined || source.kind === 'glance';
}

export function cacheAddress(id: string): ImageAddress {
  return asAddress(`${CACHE_SCHEME}${id}`);
}

export function cacheIdOf(address: ImageAddress): string {
  return address.slice(CACHE_SCHEME.length);
}
