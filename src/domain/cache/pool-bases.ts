import { createHash } from 'node:crypto';
import type { ImageAddress } from '../address.js';
import type { Resolved, FileRef } from '../ports.js';
import type { SourceFacts } from '../fetch/ports.js';
import { keyOf, type CacheWish } from './cache-entry.js';

/** Begins addresses of bases. No caller can write one: theirs begin with `/` or `rbd:`. */
export const BASE_SCHEME = 'base:';
const ID_DIGITS = 32;

/** A base as its cluster has it: what a disk is cloned from. */
export interface Base {
  /** Frozen: a snapshot, which nobody can write. */
  readonly file: Resolved;
  readonly checksum: string;
}

/** Bases of a cluster: images that were fetched once, by whichever host, and of which the disks of all hosts are clones. */
export interface PoolBases {
  /** The address of a base beside this target; undefined where the configuration keeps none there. */
  addressOf(target: ImageAddress, id: string): ImageAddress | undefined;
  /** Undefined when it is not there. */
  find(address: ImageAddress): Promise<Base | undefined>;
  /** Before it gets its name: from now on its clones do not depend on what becomes of it. */
  freeze(part: FileRef, facts: { readonly source: string; readonly checksum: string }): Promise<void>;
  /** Somebody was served by it. */
  used(base: Base): Promise<void>;
}

/**
 * The same on every host for the same content; undefined where nothing tells beforehand which content it will be: other hosts could not know
 * whether what they find is what they want.
 */
export function baseIdOf(wish: CacheWish, facts: SourceFacts): string | undefined {
  if (wish.checksum === undefined && facts.immutable !== true) return undefined;
  return createHash('sha256').update(keyOf(wish)).digest('hex').slice(0, ID_DIGITS);
}
