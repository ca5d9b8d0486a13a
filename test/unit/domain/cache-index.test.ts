/** What the cache holds: who has it, what has to go, and entries that change while somebody works. */
import assert from 'node:assert/strict';
import { CacheIndex, type CacheLimits } from '../../../src/domain/cache/cache-index.js';
import { asAddress } from '../../../src/domain/model/address.js';
import type { CacheEntry } from '../../../src/domain/ports/image-cache.js';
import { turns } from '../../support/event-loop.js';

const HOUR_MS = 3_600_000;
const LIMITS: CacheLimits = { maxBytes: 100n, maxAgeMs: HOUR_MS };

function entry(id: string, change: Partial<CacheEntry> & { readonly bytes?: bigint } = {}): CacheEntry {
  const { bytes = 30n, ...more } = change;
  return {
    ...{ id, key: `key of ${id}`, source: 'x', checksum: 'x', verified: true, inode: 1n, modifyTimeNs: 1n },
    info: {
      ...{ address: asAddress(`/cache/${id}`), format: 'raw', virtualSizeBytes: bytes, fileLengthBytes: bytes },
      ...{ allocatedBytes: bytes, inUse: false, encrypted: false, dirty: false, corrupt: false },
      ...{ snapshots: [], findings: [] },
    },
    ...{ createTimeMs: 0, useTimeMs: 0, pinned: false },
    ...more,
  };
}

describe('CacheIndex', () => {
  let now: number;
  let stored: Map<string, CacheEntry>;
  /** Writes wait for it. */
  let disk: Promise<void>;
  beforeEach(() => {
    now = 0;
    stored = new Map();
    disk = Promise.resolve();
  });
  async function index(...entries: readonly CacheEntry[]): Promise<CacheIndex> {
    for (const each of entries) stored.set(each.id, each);
    const store = {
      cacheEntries: () => Promise.resolve([...stored.values()]),
      putCacheEntry: async (each: CacheEntry) => {
        await disk;
        stored.set(each.id, each);
      },
      removeCacheEntry: async ({ id }: CacheEntry) => {
        await disk;
        stored.delete(id);
      },
    };
    return CacheIndex.load(store, LIMITS, () => now);
  }
  const idsOf = (entries: readonly CacheEntry[]) => entries.map(({ id }) => id);

  it('the least recently used goes first, until the rest fits', async () => {
    const cache = await index(...['a', 'b', 'c', 'd', 'e'].map((id, n) => entry(id, { useTimeMs: 10 - n })));
    assert.deepEqual(idsOf(cache.all), ['e', 'd', 'c', 'b', 'a']);
    assert.equal(cache.bytes, 150n);
    assert.deepEqual(idsOf(cache.overdue()), ['e', 'd']);
    assert.deepEqual(idsOf(cache.overdue(0n)), ['e', 'd', 'c', 'b', 'a']);
    assert.deepEqual(idsOf(cache.overdue(150n)), []);
  });

  it('what is too old goes, though there is room', async () => {
    const cache = await index(entry('old'), entry('young', { useTimeMs: 1 }));
    now = HOUR_MS;
    assert.deepEqual(idsOf(cache.overdue()), ['old']);
  });

  it('what is pinned or leased is passed over, and others go for it', async () => {
    const cache = await index(entry('pinned', { pinned: true }), entry('leased'), entry('b'), entry('c'));
    const release = cache.lease(entry('leased'));
    assert.deepEqual(idsOf(cache.overdue()), ['b']);
    assert.deepEqual(idsOf(cache.overdue(0n)), ['b', 'c']);
    release();
    assert.deepEqual(idsOf(cache.overdue(0n)), ['b', 'c', 'leased']);
  });

  it('is leased until the last of several lets go, whatever order they go in', async () => {
    const cache = await index(entry('a'), entry('b'));
    const [one, two, other] = [cache.lease(entry('a')), cache.lease(entry('a')), cache.lease(entry('b'))];
    two();
    assert.deepEqual([cache.isLeased(entry('a')), cache.isLeased(entry('b'))], [true, true]);
    one();
    assert.deepEqual([cache.isLeased(entry('a')), cache.isLeased(entry('b'))], [false, true]);
    other();
    assert.equal(cache.isLeased(entry('b')), false);
  });

  it('whoever uses an entry of the same moment is remembered beside the others', async () => {
    const cache = await index(entry('a'));
    const written = Promise.withResolvers<undefined>();
    disk = written.promise;
    now = 5;
    const uses = ['x', 'y', 'x', 'z'].map((caller) => cache.used(entry('a'), caller));
    // Before anything of it is durable.
    assert.deepEqual(cache.get('a').knownTo, ['y', 'x', 'z']);
    written.resolve(undefined);
    await Promise.all(uses);
    assert.deepEqual([stored.get('a')?.knownTo, stored.get('a')?.useTimeMs], [['y', 'x', 'z'], 5]);
  });

  it('remembers so many callers, the latest', async () => {
    const cache = await index(entry('a'));
    for (let n = 0; n < 100; n++) await cache.used(entry('a'), String(n));
    const known = cache.get('a').knownTo ?? [];
    assert.deepEqual([known.length, known[0], known.at(-1)], [64, '36', '99']);
  });

  it('nobody gets what was set aside, at once; its file is known until it is forgotten', async () => {
    const cache = await index(entry('a'));
    const written = Promise.withResolvers<undefined>();
    disk = written.promise;
    const setting = cache.setAside(cache.get('a'), 'evicting');
    assert.throws(() => cache.get('a'), { reason: 'IMAGE_NOT_FOUND' });
    assert.deepEqual([cache.has('a'), cache.find('key of a'), cache.knows('a')], [false, undefined, true]);
    // A use that was under way puts nothing back.
    await cache.used(entry('a'), 'x');
    assert.equal(cache.has('a'), false);
    written.resolve(undefined);
    const aside = await setting;
    assert.deepEqual(cache.aside, [aside]);
    await cache.forget(aside);
    assert.deepEqual([cache.aside, cache.knows('a'), stored.size], [[], false, 0]);
  });

  it('what came into the place of an entry meanwhile is not forgotten with it', async () => {
    const cache = await index();
    const old = await cache.put(entry('a'));
    const fresh = await cache.put(entry('a', { bytes: 31n }));
    await cache.forget(old);
    assert.deepEqual([cache.get('a'), stored.get('a')], [fresh, fresh]);
  });

  it('of entries of one content the latest is found', async () => {
    const same = { key: 'k' };
    const cache = await index(entry('a', { ...same, createTimeMs: 1 }), entry('b', { ...same, createTimeMs: 3 }));
    await cache.put(entry('c', { ...same, createTimeMs: 2 }));
    assert.equal(cache.find('k')?.id, 'b');
    await cache.setAside(cache.get('b'), 'changed');
    assert.equal(cache.find('k')?.id, 'c');
  });

  it('all that is pinned has to fit, also when two are pinned at once', async () => {
    const cache = await index(entry('a', { bytes: 60n }), entry('b', { bytes: 60n }));
    const written = Promise.withResolvers<undefined>();
    disk = written.promise;
    const pinning = cache.pin('a', true);
    assert.throws(() => void cache.pin('b', true), { reason: 'NO_SPACE' });
    written.resolve(undefined);
    await pinning;
    // What is pinned may be pinned again.
    await cache.pin('a', true);
    await cache.pin('a', false);
    await cache.pin('b', true);
    assert.throws(() => void cache.pin('c', true), { reason: 'IMAGE_NOT_FOUND' });
    await turns();
  });
});
