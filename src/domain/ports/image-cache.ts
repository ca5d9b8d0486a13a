import type { ImageInfo } from '../model/image-info.js';
import type { NetworkSource } from '../model/image-source.js';
import type { ImageFormat } from '../model/image-format.js';
import type { ExpectedChecksum } from '../model/checksum.js';
import type { Resolved } from './handles.js';

/** An image that may be requested again. */
export interface CacheEntry {
  readonly id: string;
  /** The key of its content. */
  readonly key: string;
  /** For people. */
  readonly source: string;
  readonly checksum: string;
  /** Used to check whether it is current if no checksum proves that. */
  readonly validator?: string;
  /** It needs no check: a checksum was required. */
  readonly verified: boolean;
  /**
   * It was fetched with a caller's secrets: the source has to admit each caller. Unset, as in
   * earlier versions: it may have been.
   */
  readonly guarded?: boolean;
  /** Callers who were given it, the latest last. They may see what it is. */
  readonly knownTo?: readonly string[];
  readonly info: ImageInfo;
  readonly inode: bigint;
  readonly modifyTimeNs: bigint;
  /**
   * Of the local file; unset unless the configuration requires that entries are hashed before each
   * use.
   */
  readonly fileSha256?: string;
  readonly createTimeMs: number;
  readonly useTimeMs: number;
  readonly pinned: boolean;
  /**
   * Set: it is no longer given out; its file still belongs to the cache, and stays while images may
   * be backed by it.
   */
  readonly setAside?: WhySetAside;
}

/**
 * `changed`: its file was modified. `evicting`: its file was to be removed. `unfinished`: its file
 * was about to get its name.
 */
export type WhySetAside = 'changed' | 'evicting' | 'unfinished';

/** A file in the cache's folder without an entry. */
export interface UnknownFile {
  readonly name: string;
  readonly kind: 'file' | 'other';
  readonly allocatedBytes: bigint;
  readonly modifyTimeMs: number;
}

/** The names in the cache's folder. */
export interface CacheFiles {
  /** Files there that belong neither to an entry nor to the daemon. */
  unknown(isKnown: (id: string) => boolean): Promise<readonly UnknownFile[]>;
}

/**
 * Stores entries; durable when resolved. Fails with STATE_UNAVAILABLE: the entry is then written
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
  /** Unset: the format of the source. */
  readonly format?: ImageFormat;
  readonly checksum?: ExpectedChecksum;
}

/** An entry that stays until it is given back. */
export interface Lease {
  readonly entry: CacheEntry;
  readonly file: Resolved;
  readonly fromCache: boolean;
  readonly networkBytes: bigint;
  /** It can be given out again: a checksum or validator tells that it is current. */
  readonly isLasting: boolean;
  release(): Promise<void>;
}
