import type { ImageInfo } from '../model/image-info.js';
import type { NetworkSource } from '../model/image-source.js';
import type { ImageFormat } from '../model/image-format.js';
import type { ExpectedChecksum } from '../model/checksum.js';
import type { Resolved } from './handles.js';

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
  /**
   * It came for a caller's secrets: each caller has to be let in by the source. Unset, as of
   * earlier versions: so it may be.
   */
  readonly guarded?: boolean;
  /** Callers who were given it, the latest last. They know what it is. */
  readonly knownTo?: readonly string[];
  readonly info: ImageInfo;
  readonly inode: bigint;
  readonly modifyTimeNs: bigint;
  /**
   * Of the file as it is here; unset unless the configuration wants entries hashed before each use.
   */
  readonly fileSha256?: string;
  readonly createTimeMs: number;
  readonly useTimeMs: number;
  readonly pinned: boolean;
  /**
   * Set: nobody gets it any more; its file is still ours, and stays while images may be backed by
   * it.
   */
  readonly setAside?: WhySetAside;
}

/**
 * `changed`: its file is not what it was. `evicting`: its file was to be removed. `unfinished`: its
 * file was about to get its name.
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

/**
 * Where entries are kept; durable when resolved. Fails with STATE_UNAVAILABLE: then it is written
 * later.
 */
export interface CacheStore {
  cacheEntries(): Promise<readonly CacheEntry[]>;
  putCacheEntry(entry: CacheEntry): Promise<void>;
  removeCacheEntry(entry: CacheEntry): Promise<void>;
}

/** A request for an image of the cache. */
export interface CacheKeyRequest {
  readonly source: NetworkSource;
  readonly sourceFormat?: ImageFormat;
  readonly archiveMember?: string;
  /** Unset: as the source. */
  readonly format?: ImageFormat;
  readonly checksum?: ExpectedChecksum;
}

/** An entry that stays until it is given back. */
export interface Lease {
  readonly entry: CacheEntry;
  readonly file: Resolved;
  readonly fromCache: boolean;
  readonly networkBytes: bigint;
  /** It can be given again: something tells that it still is what was asked for. */
  readonly isLasting: boolean;
  release(): Promise<void>;
}
