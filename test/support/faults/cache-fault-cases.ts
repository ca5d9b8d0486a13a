/** Every verb that works with the cache's folder, on a disk with faults below that folder alone. */
import assert from 'node:assert/strict';
import { copyFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cached } from '../cache.js';
import type { Bench } from './fault-cases.js';
import { leftovers } from '../files/names-below.js';
import type { FaultCase } from './nth-call.js';
import { sh } from '../shell.js';
import type { Message } from '../stranger.js';

/** Of the disk that is the cache; the targets lie on another one. */
export function cacheCases({ daemon, disk, stock, url }: Bench): FaultCase[] {
  const run = (rpc: string, request: Message) => daemon().stranger.operation(`ImageService/${rpc}`, request);
  const source = () => ({ http: { url: `${url()}/disk.qcow2` } });
  const target = () => daemon().image('new');
  const list = () =>
    daemon().stranger.unary('ImageService/ListCachedImages') as Promise<{
      images?: { cache_id: string }[];
      set_aside?: { cache_id: string }[];
    }>;
  const ids = async () => {
    const { images = [], set_aside = [] } = await list();
    return [...images, ...set_aside].map(({ cache_id: id }) => id);
  };
  /** All that the cache has can be removed by its ids, and then nothing is there. */
  const reset = async () => {
    for (const name of await readdir(daemon().image('.'))) await rm(daemon().image(name), { recursive: true });
    // Whose removal failed; the next start removes them.
    for (const name of await leftovers(disk().behind))
      await rm(join(disk().behind, name), { recursive: true, force: true });
    const cache_ids = await ids();
    if (cache_ids.length > 0) await run('EvictCachedImages', { cache_ids });
    assert.deepEqual(await cached(disk().behind), [], 'what the cache has cannot be removed');
  };
  const fetch = (more: Message = {}) =>
    run('FetchImage', { source: source(), target: target(), use_cache: true, overwrite: true, ...more });
  const prefetch = () => run('PrefetchImage', { source: source() });
  const isGuest = (path: string) =>
    sh('qemu-img', 'compare', '-U', '-f', 'qcow2', '-F', 'raw', path, join(stock(), 'disk.raw'));
  const kept = async () => {
    const { images: [image] = [] } = await list();
    assert.ok(image !== undefined, 'the cache has no entry');
    return isGuest(join(disk().behind, image.cache_id));
  };
  const left = async () => [...(await leftovers(disk().behind)), ...(await leftovers(daemon().image('.')))];
  const same = { reset, leftovers: left };
  const nothing = () => Promise.resolve();
  return [
    { ...same, name: 'PrefetchImage', prepare: nothing, call: prefetch, done: kept },
    {
      ...same,
      name: 'FetchImage by way of the cache',
      prepare: nothing,
      call: () => fetch(),
      done: async () => [await kept(), await isGuest(target())],
    },
    {
      ...same,
      name: 'FetchImage from the cache',
      prepare: prefetch,
      call: () => fetch({ target_format: 'qcow2' }),
      done: () => isGuest(target()),
    },
    {
      ...same,
      name: 'FetchImage as an overlay',
      prepare: prefetch,
      call: () => fetch({ overlay: true }),
      done: () => isGuest(target()),
    },
    {
      ...same,
      name: 'EvictCachedImages',
      prepare: prefetch,
      call: async () => {
        const cache_ids = await ids();
        if (cache_ids.length > 0) await run('EvictCachedImages', { cache_ids });
      },
      done: async () => assert.deepEqual(await cached(disk().behind), []),
    },
    {
      ...same,
      name: 'ListCachedImages with a file that nobody knows',
      prepare: () => copyFile(join(stock(), 'disk.raw'), join(disk().behind, 'unknown')),
      call: ids,
      done: (answer) => {
        assert.deepEqual(answer, ['unknown']);
        return nothing();
      },
    },
  ];
}
