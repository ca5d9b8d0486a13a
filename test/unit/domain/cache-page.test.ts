import assert from 'node:assert/strict';
import { byId, byUse, pageAfter, type PagePlace } from '../../../src/domain/cache/cache-page.js';
import type { CacheEntry } from '../../../src/domain/ports/image-cache.js';

const entry = (id: string, useTimeMs: number) => ({ id, useTimeMs }) as CacheEntry;
const tokenOf = (page: readonly PagePlace[]) => page.at(-1)?.at ?? '';
const ids = (places: readonly PagePlace[]) => places.map(({ id }) => id);

describe('pages of the cache', () => {
  const entries = [entry('c', 5), entry('a', 1000), entry('b', 5), entry('d', 20)];

  it('come in the order of use, then of ids', () => {
    assert.deepEqual(ids(byUse(entries)), ['b', 'c', 'd', 'a']);
    assert.deepEqual(ids(byId(['rbd:p/2', 'rbd:p/1'])), ['rbd:p/1', 'rbd:p/2']);
  });

  it('go on behind an entry that is gone, was used since, or was the last', () => {
    const { page, more } = pageAfter(byUse(entries), '', 2);
    assert.deepEqual([ids(page), more], [['b', 'c'], true]);
    const token = tokenOf(page);
    assert.deepEqual(ids(pageAfter(byUse(entries.slice(1, 2).concat(entries.slice(3))), token, 2).page), ['d', 'a']);
    const used = [...entries.slice(1), entry('c', 2000)];
    assert.deepEqual(ids(pageAfter(byUse(used), token, 9).page), ['d', 'a', 'c']);
    assert.deepEqual(ids(pageAfter(byUse(entries), tokenOf(byUse(entries)), 2).page), []);
    assert.deepEqual(ids(pageAfter(byUse([]), token, 2).page), []);
    assert.deepEqual(ids(pageAfter(byId(['rbd:p/1', 'rbd:p/3']), 'rbd:p/2', 2).page), ['rbd:p/3']);
  });
});
