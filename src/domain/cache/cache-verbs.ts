import { assertSize } from '../fetch/validate-foreign.js';
import { needsNoSecrets, sourceText } from '../fetch/source.js';
import type { CachedResult, DeleteResult, FetchResult } from '../operations/results.js';
import type { Verb } from '../operations/verb.js';
import type { ImageCache } from './image-cache.js';
import { isBaseEntryId, type PoolBases } from './pool-bases.js';
import type { CacheRequest } from './cache-entry.js';

export type PrefetchSpec = Omit<CacheRequest, 'overlay'>;

/** Downloads an image into the cache. A detached one resumes after a restart. */
export function prefetchImage(cache: ImageCache): Verb<PrefetchSpec, FetchResult> {
  return {
    name: 'PrefetchImage',
    slot: () => 'open',
    uses: () => [],
    resume: { key: () => '', after: [], alone: ({ source }) => needsNoSecrets(source) },
    plan: (spec) => {
      const why = `${sourceText(spec.source)} is fetched into the cache unless it is there`;
      return Promise.resolve({ kind: 'plan', method: 'download', why, needBytes: 0n });
    },
    async run(spec, run) {
      const lease = await cache.obtain(spec, run);
      try {
        const { entry, fromCache, networkBytes } = lease;
        assertSize(entry.info, spec.maxSizeBytes, entry.source);
        const { info, checksum, id: cacheId } = entry;
        return { kind: 'fetch', info, fromCache, networkBytes, checksum, lengthBytes: info.fileLengthBytes, cacheId };
      } finally {
        await lease.release();
      }
    },
  };
}

export interface EvictSpec {
  /** Empty: evict by age and size. */
  readonly ids: readonly string[];
  readonly targetBytes?: bigint;
}

/**
 * Removes entries that no image needs, and, if named, files without an entry. Each is removed
 * completely or not at all.
 */
export function evictCachedImages(cache: ImageCache, bases: PoolBases): Verb<EvictSpec, DeleteResult> {
  const { index, eviction } = cache;
  const evict = (id: string) => {
    if (isBaseEntryId(id)) return bases.evict(id);
    return index.has(id) ? eviction.evict(index.get(id)) : eviction.removeSetAside(id);
  };
  /** Fails with IMAGE_NOT_FOUND before anything is removed. */
  const assertThere = async ({ ids }: EvictSpec) => {
    for (const id of ids) if (!isBaseEntryId(id)) await eviction.assertHas(id);
  };
  return {
    name: 'EvictCachedImages',
    slot: () => 'none',
    uses: () => [],
    async plan(spec) {
      await assertThere(spec);
      const ids = spec.ids.length === 0 ? index.overdue(spec.targetBytes).map(({ id }) => id) : spec.ids;
      const why = `${String(ids.length)} entries are removed: ${ids.join(' ')}`;
      return { kind: 'plan', method: 'evict', why, needBytes: 0n };
    },
    async run(spec, run) {
      run.phase('DELETING');
      await run.step('evict');
      if (spec.ids.length === 0) {
        const overdue = await eviction.evictOverdue(spec.targetBytes);
        const aside = await eviction.discardSetAside();
        const items = overdue.items + aside.items;
        return { kind: 'delete', existed: items > 0n, items, freedBytes: overdue.freedBytes + aside.freedBytes };
      }
      await assertThere(spec);
      let freedBytes = 0n;
      for (const id of spec.ids) freedBytes += await evict(id);
      return { kind: 'delete', existed: true, items: BigInt(spec.ids.length), freedBytes };
    },
  };
}

export interface PinSpec {
  readonly id: string;
  readonly pinned: boolean;
}

/** Pins or unpins an entry; a pinned one is not evicted. */
export function pinCachedImage({ index }: ImageCache, bases: PoolBases): Verb<PinSpec, CachedResult> {
  return {
    name: 'PinCachedImage',
    slot: () => 'none',
    uses: () => [],
    async run({ id, pinned }) {
      if (isBaseEntryId(id)) await bases.pin(id, pinned);
      else await index.pin(id, pinned);
      return { kind: 'cached', cacheId: id };
    },
  };
}
