import { createHash } from 'node:crypto';
import type { ImageAddress } from '../model/address.js';
import type { SourceFacts } from '../ports/sources.js';
import { keyOf } from './cache-entry.js';
import type { CacheEntry, CacheKeyRequest } from '../ports/image-cache.js';
import type { Resolved, FileRef } from '../ports/handles.js';

/** Begins addresses of bases. No caller can write one: theirs begin with `/` or `rbd:`. */
export const BASE_SCHEME = 'base:';
const ID_DIGITS = 32;

/** A base as its cluster has it: what a disk is cloned from. */
export interface Base {
  /** Frozen: a snapshot, which nobody can write. */
  readonly file: Resolved;
  readonly checksum: string;
  /**
   * It came for a caller's secrets, or so it may be: each caller has to be let in by the source.
   */
  readonly guarded: boolean;
  /** Tells whether what a source gives is this content; unset: nothing does. */
  readonly validator?: string;
}

/** What is noted of a base, for all hosts. */
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
  /** Disks are clones of it. */
  readonly inUse: boolean;
};

/**
 * Bases of a cluster: images that were fetched once, by whichever host, and of which the disks of
 * all hosts are clones.
 */
export interface PoolBases {
  /**
   * The address of a base beside this target; undefined where the configuration keeps none there.
   */
  addressOf(target: ImageAddress, id: string): ImageAddress | undefined;
  /** Undefined when it is not there. */
  find(address: ImageAddress): Promise<Base | undefined>;
  /** Before it gets its name: from now on its clones do not depend on what becomes of it. */
  freeze(part: FileRef, facts: BaseFacts): Promise<void>;
  /** The base was used. */
  used(base: Pick<Base, 'file'>): Promise<void>;
  /**
   * Ids of the bases in a pool, in their order. Fails with POOL_NOT_FOUND, PATH_OUTSIDE_ROOTS,
   * ROOT_STALLED, as all that follow.
   */
  list(pool: string): Promise<readonly string[]>;
  /** Undefined when it is not there. */
  entry(id: string): Promise<BaseEntry | undefined>;
  /** Keeps it from being removed, or no longer. Fails with IMAGE_NOT_FOUND, ROOT_READ_ONLY. */
  pin(id: string, pinned: boolean): Promise<void>;
  /**
   * Removes it; the space that it took. Fails with IMAGE_NOT_FOUND, ROOT_READ_ONLY, and with
   * IMAGE_IN_USE when it is pinned or has clones.
   */
  evict(id: string): Promise<bigint>;
}

/**
 * The same on every host for the same content; undefined where nothing tells beforehand which
 * content it will be: other hosts could not know whether what they find is what they want.
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
