import { createHash } from 'node:crypto';
import type { ImageAddress } from '../model/address.js';
import type { SourceFacts } from '../ports/sources.js';
import { keyOf } from './cache-entry.js';
import type { CacheEntry, CacheKeyRequest } from '../ports/image-cache.js';
import type { Resolved, FileRef } from '../ports/handles.js';

/**
 * Prefix of the addresses of bases. No caller can use one: callers' addresses begin with `/` or
 * `rbd:`.
 */
export const BASE_SCHEME = 'base:';
const ID_DIGITS = 32;

/** A base in its cluster, from which disks are cloned. */
export interface Base {
  /** A snapshot, which cannot be written to. */
  readonly file: Resolved;
  readonly checksum: string;
  /**
   * Whether it was, or may have been, fetched with a caller's secrets: then the source has to admit
   * each caller.
   */
  readonly guarded: boolean;
  /** Tells whether the source still has this content; unset: nothing does. */
  readonly validator?: string;
}

/** The metadata of a base, for all hosts. */
export interface BaseFacts {
  readonly source: string;
  readonly checksum: string;
  readonly guarded: boolean;
  readonly validator?: string;
}

/** A base as callers see it; its id is `rbd:POOL/ID`. */
export type BaseEntry = Pick<
  CacheEntry,
  'id' | 'source' | 'checksum' | 'info' | 'pinned' | 'useTimeMs' | 'createTimeMs'
> & {
  /** Whether disks are clones of it. */
  readonly inUse: boolean;
};

/**
 * The bases of a cluster: images that any host fetched once, and that disks of all hosts are clones
 * of.
 */
export interface PoolBases {
  /**
   * The address of a base in the pool of this target; undefined if the configuration keeps no bases
   * there.
   */
  addressOf(target: ImageAddress, id: string): ImageAddress | undefined;
  /** Undefined if it does not exist. */
  find(address: ImageAddress): Promise<Base | undefined>;
  /**
   * Call it before the base gets its name: its clones then no longer depend on the image itself.
   */
  freeze(part: FileRef, facts: BaseFacts): Promise<void>;
  /** Records that the base was used. */
  used(base: Pick<Base, 'file'>): Promise<void>;
  /**
   * Ids of the bases in a pool, in order. Fails with POOL_NOT_FOUND, PATH_OUTSIDE_ROOTS,
   * ROOT_STALLED, like all methods below.
   */
  list(pool: string): Promise<readonly string[]>;
  /** Undefined if it does not exist. */
  entry(id: string): Promise<BaseEntry | undefined>;
  /**
   * Pins or unpins a base; a pinned one is not removed. Fails with IMAGE_NOT_FOUND, ROOT_READ_ONLY.
   */
  pin(id: string, pinned: boolean): Promise<void>;
  /**
   * Removes a base and returns the space that it occupied. Fails with IMAGE_NOT_FOUND,
   * ROOT_READ_ONLY, and with IMAGE_IN_USE if it is pinned or has clones.
   */
  evict(id: string): Promise<bigint>;
}

/**
 * The same id on every host for the same content; undefined if the content is not known in advance:
 * other hosts could not tell whether an existing base is the requested one.
 */
export function baseIdOf(request: CacheKeyRequest, facts: SourceFacts): string | undefined {
  if (request.checksum === undefined && facts.immutable !== true) return undefined;
  return createHash('sha256').update(keyOf(request)).digest('hex').slice(0, ID_DIGITS);
}

/** The id of the base at this address, for callers. */
export function baseEntryId(address: ImageAddress): string {
  return `rbd:${address.slice(BASE_SCHEME.length)}`;
}

/** Whether an id is that of a base in a pool, not of an entry of the cache folder. */
export function isBaseEntryId(id: string): boolean {
  return id.startsWith('rbd:');
}
