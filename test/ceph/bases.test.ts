/** Images that are fetched into a cluster once, and cloned for each disk of each host. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { cephCluster } from '../support/servers/ceph.js';
import { Daemon } from '../support/daemon.js';
import { sparseFile } from '../support/images/disks.js';
import { FaultServer } from '../support/servers/fault-server.js';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';
import { failure, type Message } from '../support/stranger.js';

const MIB = 1024 * 1024;
const sha256 = (bytes: Buffer) => ({ algorithm: 'sha256', digest: createHash('sha256').update(bytes).digest('hex') });

describe('the image cache in a pool', () => {
  const scratch = scratchFolder();
  const cluster = cephCluster(scratch, 'cephx');
  let server: FaultServer;
  let [raw, qcow2] = [Buffer.alloc(0), Buffer.alloc(0)];
  let hosts: Daemon[] = [];
  const start = (name: string, more = '') =>
    Daemon.start(scratch.path(name), {
      toml: `${cluster.toml()}[[pools]]\nname = "disks"\ncluster = "test"\n[cache]\npools = ["rbd"]\n${more}`,
    });
  const fetch = async (host: Daemon | undefined, request: Message) => {
    assert.ok(host !== undefined);
    const defaults = { use_cache: true, target_format: 'raw', checksum: sha256(qcow2) };
    const answer = await host.stranger.operation('ImageService/FetchImage', { ...defaults, ...request });
    return answer['fetch'] as Message;
  };
  const source = (name: string) => ({ http: { url: `${server.origin}/${name}`, headers: {} } });
  const info = async (path: string) =>
    (await hosts[0]?.stranger.unary('ImageService/GetImageInfo', { path, format: 'raw' }))?.['info'] as Message;
  /** Nothing else of a daemon's lies in the pool. */
  const assertBases = async (count: number) => {
    const names = await cluster.leftovers();
    assert.deepEqual(
      [names.length, ...names.filter((name) => !name.startsWith('.hostler-base-'))],
      [count],
      names.join(),
    );
  };
  const exported = async (image: string) => {
    const path = scratch.path('exported');
    await sh('rm', '-f', path);
    await cluster.rbd('export', '--no-progress', image, path);
    return readFile(path);
  };

  before(async () => {
    server = await FaultServer.start();
    scratch.onEnd(() => server.close());
    await sparseFile(scratch.path('disk.raw'), 32 * MIB, [{ at: MIB, length: 5 * MIB }]);
    await sh('qemu-img', 'convert', '-O', 'qcow2', '-c', scratch.path('disk.raw'), scratch.path('disk.qcow2'));
    raw = await readFile(scratch.path('disk.raw'));
    qcow2 = await readFile(scratch.path('disk.qcow2'));
    await cluster.ceph('osd', 'pool', 'create', 'disks', '8', '8');
    await cluster.rbd('pool', 'init', 'disks');
    hosts = await Promise.all(['one', 'two'].map((name) => start(name)));
    scratch.onEnd(() => Promise.all(hosts.map((host) => host.stop())));
  });

  it('two hosts, many disks: one base, clones of it', async () => {
    server.add('image', qcow2, { bytesPerSecond: 4 * MIB });
    const targets = ['rbd:rbd/a', 'rbd:rbd/b', 'rbd:disks/c', 'rbd:rbd/d'];
    const results = await Promise.all(
      targets.map((target, n) => fetch(hosts[n % 2], { source: source('image'), target })),
    );
    // Each host fetches it once at the most: they do not know of each other until it is there.
    assert.ok(server.file('image').requests <= 2);
    await assertBases(1);
    for (const [n, target] of targets.entries()) {
      assert.match(String((await info(target))['full_backing_file']), /^rbd:rbd\/\.hostler-base-.*@base$/);
      assert.ok((await exported(target.slice('rbd:'.length))).equals(raw), target);
      assert.ok(JSON.stringify(results[n]).includes(sha256(qcow2).digest), target);
    }
  });

  it('of two hosts that give the same name at once one has done it, and nothing of the other stays', async () => {
    for (let round = 1; round <= 10; round++) {
      const request = { path: `rbd:disks/raced-${String(round)}`, format: 'raw', size: String(round * MIB) };
      const made = hosts.map((host) => host.stranger.operation('ImageService/CreateImage', request));
      const lost = (await Promise.allSettled(made)).filter(({ status }) => status === 'rejected');
      assert.equal(lost.length, 1, request.path);
      await assert.rejects(Promise.all(made), /exists/);
    }
    assert.deepEqual(await cluster.leftovers('disks'), []);
  });

  it('a later fetch asks nobody, on any host', async () => {
    const before = server.file('image').requests;
    const result = await fetch(hosts[1], { source: source('image'), target: 'rbd:rbd/later' });
    assert.equal(result['from_cache'], true);
    assert.equal(server.file('image').requests, before);
  });

  it('without a checksum nothing tells other hosts what it is: the pool keeps no base', async () => {
    const request = { source: source('image'), target: 'rbd:rbd/plain', checksum: undefined };
    await fetch(hosts[0], request);
    assert.equal((await info('rbd:rbd/plain'))['full_backing_file'], undefined);
    assert.ok((await exported('rbd/plain')).equals(raw));
    const kept = fetch(hosts[0], { ...request, target: 'rbd:rbd/kept', target_format: undefined });
    assert.equal((await failure(kept)).reason, 'UNSUPPORTED_BY_BACKEND');
  });

  it('what is not what it should be becomes no base', async () => {
    const wrong = { source: source('image'), target: 'rbd:rbd/wrong', checksum: sha256(raw) };
    assert.equal((await failure(fetch(hosts[0], wrong))).reason, 'CHECKSUM_MISMATCH');
    await assertBases(1);
    const small = { source: source('image'), target: 'rbd:rbd/small', max_size_bytes: String(MIB) };
    assert.equal((await failure(fetch(hosts[0], small))).reason, 'IMAGE_TOO_LARGE');
  });

  it('nobody reaches a base by its name', async () => {
    const [name = ''] = await cluster.leftovers();
    const look = hosts[0]?.stranger.unary('ImageService/GetImageInfo', { path: `rbd:rbd/${name}`, format: 'raw' });
    assert.equal((await failure(look ?? Promise.resolve())).reason, 'PATH_OUTSIDE_ROOTS');
  });

  it('bases are listed, pinned and removed by any host that may', async () => {
    const [one, two] = hosts;
    assert.ok(one !== undefined && two !== undefined);
    const list = async (host: Daemon, more: Message = {}) =>
      host.stranger.unary('ImageService/ListCachedImages', { pool: 'rbd', ...more }) as Promise<{
        images?: Message[];
        next_page_token?: string;
      }>;
    const { images: [base = {}, ...others] = [] } = await list(one);
    assert.deepEqual(others, []);
    const id = String(base['cache_id']);
    assert.match(id, /^rbd:rbd\/[0-9a-f]{32}$/);
    assert.match(String(base['source']), /\/image$/);
    assert.deepEqual(base['checksum'], sha256(qcow2));
    assert.deepEqual([base['in_use'], base['pinned'] ?? false], [true, false]);
    assert.equal((base['info'] as Message)['virtual_size_bytes'], String(raw.length));
    assert.deepEqual((await list(one, { page_token: id })).images ?? [], []);
    assert.equal((await failure(list(one, { pool: 'disks' }))).reason, 'POOL_NOT_FOUND');
    const evict = (cache_ids: string[]) => two.stranger.operation('ImageService/EvictCachedImages', { cache_ids });
    const pin = (pinned: boolean, cache_id = id) =>
      two.stranger.unary('ImageService/PinCachedImage', { cache_id, pinned });
    assert.equal((await failure(evict([id]))).reason, 'IMAGE_IN_USE');
    const none = `rbd:rbd/${'0'.repeat(32)}`;
    assert.equal((await failure(evict([none]))).reason, 'IMAGE_NOT_FOUND');
    assert.equal((await failure(pin(true, none))).reason, 'IMAGE_NOT_FOUND');
    // One that nobody needs.
    server.add('other', qcow2);
    const { cache_id: other } = await fetch(one, { source: source('other'), target: 'rbd:rbd/other' });
    await one.stranger.operation('ImageService/DeleteImage', { path: 'rbd:rbd/other' });
    assert.notEqual(other, id);
    assert.equal(((await pin(true, String(other)))['image'] as Message)['pinned'], true);
    assert.equal((await failure(evict([String(other)]))).reason, 'IMAGE_IN_USE');
    const host = await start('pins', 'max_age_hours = 0.000001\n[log]\nlevel = "debug"\n');
    await host.logged(/looked at bases/).finally(() => host.stop());
    await assertBases(2);
    await pin(false, String(other));
    await evict([String(other)]);
    await assertBases(1);
  });

  it('a base stays while disks need it, and goes when it is old', async () => {
    const expire = async () => {
      const host = await start('third', 'max_age_hours = 0.000001\n[log]\nlevel = "debug"\n');
      await host.logged(/looked at bases/).finally(() => host.stop());
    };
    await expire();
    await assertBases(1);
    const disks = [...['a', 'b', 'd', 'later'].map((name) => `rbd:rbd/${name}`), 'rbd:disks/c'];
    for (const path of disks) await hosts[0]?.stranger.operation('ImageService/DeleteImage', { path });
    await expire();
    await assertBases(0);
  });
});
