/**
 * The image cache: one download a host, entries that stay while they are needed, none that is half
 * made.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile, rm, truncate, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { cached } from '../../support/cache.js';
import { checkEach } from '../../support/check-each.js';
import { suiteDaemon } from '../../support/daemon.js';
import { noise, qemuInfo, sparseFile } from '../../support/images/disks.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const MIB = 1024 * 1024;
const sha256 = (bytes: Buffer) => ({ algorithm: 'sha256', digest: createHash('sha256').update(bytes).digest('hex') });
const http = (url: string) => ({ http: { url, headers: {} } });

describe('the image cache', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  const daemon = suiteDaemon(scratch, () => ({
    toml: `[fetch]\nbackoff_ms = 20\n[cache]\npath = "${scratch.path('daemon/images/cache')}"\n`,
  }));
  const image = (name: string) => daemon.get().image(name);
  const call = (rpc: string, request: Message) => daemon.get().stranger.operation(`ImageService/${rpc}`, request);
  const fetch = async (request: Message) =>
    (await call('FetchImage', { use_cache: true, ...request }))['fetch'] as Message;
  const list = async () =>
    ((await daemon.get().stranger.unary('ImageService/ListCachedImages'))['images'] ?? []) as Message[];
  const evict = async (request: Message) => (await call('EvictCachedImages', request))['deletion'] as Message;
  let server: FaultServer;
  let raw: Buffer;
  let qcow2: Buffer;

  before(async () => {
    server = await FaultServer.start();
    scratch.onEnd(() => server.close());
    await sparseFile(scratch.path('disk.raw'), 8 * MIB, [{ at: MIB, length: 2 * MIB }]);
    await sh('qemu-img', 'convert', '-O', 'qcow2', '-c', scratch.path('disk.raw'), scratch.path('disk.qcow2'));
    raw = await readFile(scratch.path('disk.raw'));
    qcow2 = await readFile(scratch.path('disk.qcow2'));
  });
  checkEach(async () => {
    assert.deepEqual(await daemon.get().leftovers(), []);
  });

  it('an encrypted image is kept as it is; in another format it would need its passphrase', async () => {
    const luks = ['-o', 'encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10', '1M'];
    await sh(
      'qemu-img',
      'create',
      '-q',
      '--object',
      'secret,id=s,data=x',
      '-f',
      'qcow2',
      scratch.path('luks'),
      ...luks,
    );
    const source = http(server.add('luks', await readFile(scratch.path('luks'))));
    const request = { source, max_size_bytes: String(MIB), source_format: 'qcow2' };
    for (const format of ['raw', 'vdi'])
      assert.equal(
        (await failure(call('PrefetchImage', { ...request, target_format: format }))).reason,
        'SECRET_REQUIRED',
      );
    for (const format of ['qcow2', '']) await call('PrefetchImage', { ...request, target_format: format });
  });

  it('50 callers of one image: one GET, 50 correct targets', async () => {
    const url = server.add('fifty', qcow2, { bytesPerSecond: 4 * MIB });
    const targets = Array.from({ length: 50 }, (_, n) => image(`fifty-${String(n)}.raw`));
    const results = await Promise.all(
      targets.map((target) => fetch({ source: http(url), target, target_format: 'raw', checksum: sha256(qcow2) })),
    );
    assert.equal(server.file('fifty').requests, 1);
    assert.equal(server.file('fifty').sentBytes, qcow2.length);
    for (const target of targets) assert.ok((await readFile(target)).equals(raw), target);
    assert.equal(new Set(results.map((result) => result['cache_id'])).size, 1);
  }).timeout(120_000);

  it('a later fetch asks nobody when a checksum says what it is', async () => {
    const content = noise(MIB, 71);
    const request = { source: http(server.add('asked-once', content)), checksum: sha256(content) };
    await fetch({ ...request, target: image('earlier.raw') });
    const result = await fetch({ ...request, target: image('later.raw') });
    assert.equal(result['from_cache'], true);
    assert.equal(result['network_bytes'] ?? '0', '0');
    assert.equal(server.file('asked-once').requests, 1);
  });
  it('a page goes on where the one before ended, also when that entry was evicted', async () => {
    for (const n of [1, 2, 3]) {
      const content = noise(4096, 300 + n);
      const source = http(server.add(`page-${String(n)}`, content));
      await fetch({ source, target: image(`page-${String(n)}.raw`), checksum: sha256(content) });
    }
    const page = (request: Message) => daemon.get().stranger.unary('ImageService/ListCachedImages', request);
    const idsOf = ({ images = [] }: Message) => (images as Message[]).map(({ cache_id: id }) => String(id));
    const all = idsOf(await page({}));
    const first = await page({ page_size: all.length - 2 });
    const [last = ''] = idsOf(first).slice(-1);
    await evict({ cache_ids: [last] });
    assert.deepEqual(idsOf(await page({ page_token: first['next_page_token'] })), all.slice(-2));
  });
  it('without a checksum the source is asked whether it is still the same', async () => {
    const url = server.add('tagged', qcow2);
    await fetch({ source: http(url), target: image('tagged-1') });
    const again = await fetch({ source: http(url), target: image('tagged-2') });
    assert.deepEqual([again['from_cache'], server.file('tagged').sentBytes], [true, qcow2.length]);
    server.add('tagged', raw);
    const changed = await fetch({ source: http(url), target: image('tagged-3') });
    assert.equal(changed['from_cache'] ?? false, false);
    assert.ok((await readFile(image('tagged-3'))).equals(raw));
  });
  it('an overlay keeps its entry from being evicted until it has gone', async () => {
    const url = server.add('base', qcow2);
    const made = await fetch({
      source: http(url),
      target: image('over.qcow2'),
      overlay: true,
      checksum: sha256(qcow2),
    });
    const info = await qemuInfo(image('over.qcow2'), 'qcow2');
    assert.equal(info['backing-filename'], join(image('cache'), String(made['cache_id'])));
    await sh('qemu-img', 'compare', '-q', '-f', 'raw', '-F', 'qcow2', scratch.path('disk.raw'), image('over.qcow2'));
    const error = await failure(evict({ cache_ids: [made['cache_id']] }));
    assert.equal(error.reason, 'IMAGE_IN_USE');
    assert.equal((await list()).find((entry) => entry['cache_id'] === made['cache_id'])?.['in_use'], true);
    await rm(image('over.qcow2'));
    assert.equal((await evict({ cache_ids: [made['cache_id']] }))['items'], '1');
  });
  it('pinned entries stay, others go by size, least recently used first', async () => {
    await evict({ target_bytes: '0' });
    const prefetched = async (name: string, seed: number) => {
      const url = server.add(name, noise(MIB, seed));
      return ((await call('PrefetchImage', { source: http(url) }))['fetch'] as Message)['cache_id'] as string;
    };
    const [first, second, third] = [await prefetched('p1', 1), await prefetched('p2', 2), await prefetched('p3', 3)];
    assert.deepEqual(
      (await list()).map((entry) => entry['cache_id']),
      [first, second, third],
    );
    const pinned = await daemon.get().stranger.unary('ImageService/PinCachedImage', { cache_id: first, pinned: true });
    assert.equal((pinned['image'] as Message)['pinned'], true);
    assert.equal((await failure(evict({ cache_ids: [first] }))).reason, 'IMAGE_IN_USE');
    await evict({ target_bytes: String(2 * MIB + 8192) });
    assert.deepEqual(
      (await list()).map((entry) => entry['cache_id']),
      [first, third],
    );
    await daemon.get().stranger.unary('ImageService/PinCachedImage', { cache_id: first, pinned: false });
    assert.equal((await evict({ target_bytes: '0' }))['items'], '2');
    assert.deepEqual([await list(), await cached(image('cache'))], [[], []]);
  });
  it('an entry that was changed or cut is not used', async () => {
    const url = server.add('spoilt', qcow2);
    const request = { source: http(url), checksum: sha256(qcow2) };
    for (const spoil of [(path: string) => truncate(path, 1000), (path: string) => utimes(path, 1, 1)]) {
      const { cache_id: id } = await fetch({ ...request, target: image(`spoilt-${String(Math.random())}`) });
      await spoil(join(image('cache'), String(id)));
      const target = image(`whole-${String(Math.random())}`);
      const again = await fetch({ ...request, target });
      assert.equal(again['from_cache'] ?? false, false);
      assert.ok((await readFile(target)).equals(qcow2));
    }
  });
  it('an image that is refused leaves nothing in the cache', async () => {
    await evict({ target_bytes: '0' });
    const before = await cached(image('cache'));
    await sh(
      'qemu-img',
      'create',
      '-q',
      '-f',
      'qcow2',
      '-u',
      '-F',
      'raw',
      '-b',
      '/etc/passwd',
      scratch.path('bad'),
      '1M',
    );
    const url = server.add('bad', await readFile(scratch.path('bad')));
    assert.equal((await failure(fetch({ source: http(url), target: image('no') }))).reason, 'IMAGE_UNSAFE');
    const sum = { algorithm: 'sha256', digest: '0'.repeat(64) };
    const wrong = await failure(fetch({ source: http(server.add('w', qcow2)), target: image('no'), checksum: sum }));
    assert.equal(wrong.reason, 'CHECKSUM_MISMATCH');
    assert.deepEqual([await cached(image('cache')), await list()], [before, []]);
  });
  it('callers make and remove nothing in it', async () => {
    const path = image('cache/mine.qcow2');
    const error = await failure(call('CreateImage', { path, format: 'qcow2', size: '1M' }));
    assert.equal(error.reason, 'ROOT_READ_ONLY');
  });
  it('files of this host are not for it, an overlay needs it', async () => {
    const error = await failure(fetch({ source: { file: { path: image('later.raw') } }, target: image('no') }));
    assert.deepEqual(error.fields, ['use_cache']);
    const alone = await failure(
      fetch({ source: http('http://x/'), target: image('no'), use_cache: false, overlay: true }),
    );
    assert.deepEqual(alone.fields, ['overlay']);
  });
});
