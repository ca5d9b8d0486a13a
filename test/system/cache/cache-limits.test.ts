/**
 * What leaves the cache by itself, what is not used any more, who may share what is on its way, and
 * what is counted.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cached } from '../../support/cache.js';
import { suiteDaemon, type DaemonOptions } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const MIB = 1024 * 1024;
const sha256 = (bytes: Buffer) => ({ algorithm: 'sha256', digest: createHash('sha256').update(bytes).digest('hex') });

/** A daemon whose cache lies in its root. Call inside describe(). */
function cachingDaemon(cache: string, more: DaemonOptions = {}) {
  const scratch = scratchFolder();
  before(needsSandbox);
  const daemon = suiteDaemon(scratch, () => ({
    toml: `[fetch]\nbackoff_ms = 20\nattempts = 2\n[cache]\npath = "${scratch.path('daemon/images/cache')}"\n${cache}\n`,
    ...more,
  }));
  let server: FaultServer | undefined;
  before(async () => {
    const started = await FaultServer.start();
    server = started;
    scratch.onEnd(() => started.close());
  });
  const image = (name: string) => daemon.get().image(name);
  const call = (rpc: string, request: Message) => daemon.get().stranger.operation(`ImageService/${rpc}`, request);
  return {
    daemon,
    image,
    server: () => server ?? assert.fail('it has not started'),
    fetch: async (request: Message) => (await call('FetchImage', { use_cache: true, ...request }))['fetch'] as Message,
    prefetch: async (source: Message): Promise<string> => {
      return ((await call('PrefetchImage', { source }))['fetch'] as Message)['cache_id'] as string;
    },
    ids: async (): Promise<string[]> => {
      const { images = [] } = await daemon.get().stranger.unary('ImageService/ListCachedImages');
      const ids = (images as Message[]).map((entry) => String(entry['cache_id']));
      assert.deepEqual((await cached(image('cache'))).sort(), [...ids].sort());
      return ids;
    },
    empty: () => call('EvictCachedImages', { target_bytes: '0' }),
    pin: (cache_id: string, pinned: boolean) =>
      daemon.get().stranger.unary('ImageService/PinCachedImage', { cache_id, pinned }),
  };
}
const http = (url: string, headers = {}) => ({ http: { url, headers } });

describe('a cache that is too large', () => {
  const { daemon, server, prefetch, ids, pin, fetch, image, empty } = cachingDaemon(`max_bytes = ${String(5 * MIB)}`);
  beforeEach(empty);
  const add = (name: string, seed: number) => http(server().add(name, noise(2 * MIB, seed)));

  it('loses what was used least recently as soon as something new has come', async () => {
    const [first, second] = [await prefetch(add('a', 1)), await prefetch(add('b', 2))];
    assert.deepEqual(await ids(), [first, second]);
    // A use counts.
    await fetch({ source: http(`${server().origin}/a`), target: image('a') });
    const third = await prefetch(add('c', 3));
    assert.deepEqual(await ids(), [first, third]);
  });
  it('keeps what is pinned, whatever its age and size', async () => {
    const [first, second] = [await prefetch(add('f', 7)), await prefetch(add('g', 8))];
    await pin(first, true);
    await pin(second, true);
    const third = await prefetch(add('d', 4));
    // Only its own lease kept it.
    const fourth = await prefetch(add('e', 5));
    assert.deepEqual(await ids(), [first, second, fourth]);
    assert.notEqual(third, fourth);
    await pin(first, false);
    await pin(second, false);
  });
  it('is not filled by pins with more than it may hold', async () => {
    const [first, second] = [await prefetch(add('pin-1', 11)), await prefetch(add('pin-2', 12))];
    await pin(first, true);
    await pin(second, true);
    const third = await prefetch(add('pin-3', 13));
    const error = await failure(pin(third, true));
    assert.equal(error.reason, 'NO_SPACE');
    assert.equal(error.metadata['free'], String(5 * MIB));
    // What is pinned can be so again; what is given up leaves room.
    await pin(first, true);
    await pin(first, false);
    await pin(third, true);
    await prefetch(add('pin-4', 14));
    const left = await ids();
    assert.ok(left.includes(second) && left.includes(third) && !left.includes(first), left.join());
    for (const id of [second, third]) await pin(id, false);
  });
  it('has no entry for what is on its way', async () => {
    const before = await ids();
    const url = server().add('slow', noise(2 * MIB, 6), { bytesPerSecond: MIB });
    const working = prefetch(http(url));
    await until(() => server().file('slow').sentBytes > 0);
    const { images = [] } = await daemon.get().stranger.unary('ImageService/ListCachedImages');
    assert.deepEqual(
      (images as Message[]).map((entry) => entry['cache_id']),
      before,
    );
    const id = await working;
    assert.ok((await ids()).includes(id));
  });
});

describe('a cache of the old', () => {
  const { server, prefetch, ids } = cachingDaemon('max_age_hours = 0.0003');
  it('loses what nobody used for so long', async () => {
    const old = await prefetch(http(server().add('old', noise(MIB, 1))));
    assert.deepEqual(await ids(), [old]);
    await sleep(1200);
    const fresh = await prefetch(http(server().add('fresh', noise(MIB, 2))));
    assert.deepEqual(await ids(), [fresh]);
  });
});

describe('a cache that verifies', () => {
  const { server, fetch, image } = cachingDaemon('verify = true');
  it('uses no entry whose bytes have changed, though its size and time have not', async () => {
    const content = noise(2 * MIB);
    const request = { source: http(server().add('image', content)), checksum: sha256(content) };
    const { cache_id: id } = await fetch({ ...request, target: image('first') });
    assert.equal((await fetch({ ...request, target: image('second') }))['from_cache'], true);
    const path = join(image('cache'), String(id));
    await sh('touch', '-r', path, image('time'));
    const file = await open(path, 'r+');
    await file.write(Buffer.from([~(content[MIB] ?? 0) & 255]), 0, 1, MIB);
    await file.close();
    await sh('touch', '-r', image('time'), path);
    const third = await fetch({ ...request, target: image('third') });
    assert.equal(third['from_cache'] ?? false, false);
    assert.ok((await readFile(image('third'))).equals(content));
    assert.equal(server().file('image').requests, 2);
  });
});

describe('a cache that counts, and shares with whom it may', () => {
  const { daemon, server, fetch, image, empty } = cachingDaemon('', { http: '127.0.0.1:0' });
  beforeEach(empty);
  const content = noise(MIB);
  const figures = async () => {
    const text = await daemon.get().metrics();
    const names = ['hit', 'miss'].flatMap((event) =>
      ['uses', 'use_bytes'].map((what) => `cache_${what}_total{event="${event}"}`),
    );
    return [...names, 'cache_entries', 'cache_bytes', 'fetch_network_bytes_total'].map((name) =>
      Number(
        text
          .split('\n')
          .find((line) => line.startsWith(`hostler_${name} `))
          ?.split(' ')[1] ?? 0,
      ),
    );
  };

  it('hits, misses, bytes', async () => {
    const request = { source: http(server().add('counted', content)) };
    const before = await figures();
    await fetch({ ...request, target: image('c1') });
    await fetch({ ...request, target: image('c2') });
    await fetch({ ...request, target: image('c3') });
    const now = await figures();
    const [hits, hitBytes, misses, missBytes, , , network] = now.map((figure, n) => figure - (before[n] ?? 0));
    assert.deepEqual([hits, hitBytes, misses, missBytes, network], [2, 2 * MIB, 1, MIB, MIB]);
    const [entries, bytes = 0] = now.slice(4);
    assert.equal(entries, 1);
    assert.ok(bytes >= MIB && bytes < 2 * MIB);
  });
  it('who waits for an image that another brings must be let in by the source too', async () => {
    const url = server().add('guarded', content, { bytesPerSecond: MIB, authorization: 'Bearer good' });
    const get = (target: string, authorization: string) =>
      fetch({ source: http(url, { authorization }), target: image(target) });
    const first = get('g1', 'Bearer good');
    await until(() => server().file('guarded').sentBytes > 0);
    const [other, refused, bare] = [
      get('g2', 'Bearer good'),
      failure(get('g3', 'Bearer bad')),
      failure(fetch({ source: http(url), target: image('g4') })),
    ];
    assert.equal((await refused).reason, 'SOURCE_REFUSED');
    assert.equal((await bare).reason, 'SOURCE_REFUSED');
    await Promise.all([first, other]);
    assert.equal(server().file('guarded').sentBytes, content.length);
    assert.equal((await failure(get('g5', 'Bearer bad'))).reason, 'SOURCE_REFUSED');
    await rm(image('g1'));
  });
});
