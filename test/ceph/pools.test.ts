/**
 * What a pool's configuration means, for a client that has no more rights than the documentation
 * asks for.
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { cephCluster } from '../support/servers/ceph.js';
import { checkEach } from '../support/check-each.js';
import { Daemon } from '../support/daemon.js';
import { noise } from '../support/images/disks.js';
import { scrapedUntil } from '../support/metrics/scraped-until.js';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';
import { failure, type Message } from '../support/stranger.js';

const MIB = 1024 * 1024;
const CAPABILITIES = ['mon', 'profile rbd', 'osd', 'profile rbd', 'mgr', 'profile rbd'];

describe('pools as a client with the documented rights sees them', () => {
  const scratch = scratchFolder();
  const cluster = cephCluster(scratch, 'cephx');
  let daemon: Daemon;
  const file = (name: string) => daemon.image(name);
  const run = (rpc: string, request: Message) => daemon.stranger.operation(`ImageService/${rpc}`, request);
  const reason = async (answer: Promise<unknown>) => (await failure(answer)).reason;

  before(async () => {
    const keyring = scratch.path('hostler.keyring');
    await writeFile(keyring, await cluster.ceph('auth', 'get-or-create', 'client.hostler', ...CAPABILITIES));
    await cluster.rbd('namespace', 'create', 'rbd/tenant');
    for (const pool of ['kept', 'shown']) {
      await cluster.ceph('osd', 'pool', 'create', pool, '8', '8');
      await cluster.rbd('pool', 'init', pool);
    }
    const pool = (name: string, more = '') => `[[pools]]\nname = "${name}"\ncluster = "test"\n${more}`;
    daemon = await Daemon.start(scratch.path('daemon'), {
      http: '127.0.0.1:0',
      toml: `[[clusters]]\nname = "test"\nconfig_file = "${cluster.configFile}"\nuser = "hostler"\nkeyring = "${keyring}"
${pool('rbd')}${pool('kept', 'trash_hours = 24\n')}${pool('shown', 'access = "read-only"\n')}`,
    });
    scratch.onEnd(() => daemon.stop());
    await writeFile(file('disk.raw'), noise(8 * MIB));
  });
  checkEach(async () => {
    for (const pool of ['rbd', 'rbd/tenant', 'kept']) assert.deepEqual(await cluster.leftovers(pool), [], pool);
  });

  it('the metrics have what each pool can still take', async () => {
    const pools = ['rbd', 'kept', 'shown'];
    const now = await scrapedUntil(daemon, (each) => each.all('hostler_pool_free_bytes').length === pools.length);
    for (const pool of pools) {
      const [size = 0, free = 0] = ['size', 'free'].map((what) => now.value(`hostler_pool_${what}_bytes`, { pool }));
      assert.ok(free > 0 && free <= size, `${pool}: ${String(free)} of ${String(size)}`);
      assert.equal(now.value('hostler_pool_reserved_bytes', { pool }), 0);
      for (const state of ['stalled', 'unavailable']) assert.equal(now.value(`hostler_pool_${state}`, { pool }), 0);
    }
  });

  it('a namespace is a place of its own: copies, clones, snapshots, removal', async () => {
    const path = 'rbd:rbd/tenant/disk';
    await run('CopyImage', { source: file('disk.raw'), target: path, verify: true });
    assert.equal(await reason(run('DeleteImage', { path: 'rbd:rbd/disk' })), 'IMAGE_NOT_FOUND');
    await run('CreateOverlay', { path: 'rbd:rbd/tenant/clone', backing_file: path, backing_format: 'raw' });
    await run('CopyImage', { source: 'rbd:rbd/tenant/clone', target: file('back.raw') });
    assert.ok((await readFile(file('back.raw'))).equals(await readFile(file('disk.raw'))));
    const answer = await run('CopyImage', { source: path, target: 'rbd:rbd/elsewhere' });
    assert.equal((answer['copy'] as Message)['engine'], 'RBD_DEEP_COPY');
    for (const each of ['rbd:rbd/tenant/clone', path, 'rbd:rbd/elsewhere']) await run('DeleteImage', { path: each });
    assert.equal(await cluster.rbd('ls', 'rbd/tenant'), '');
    const missing = run('CreateImage', { path: 'rbd:rbd/nobody/disk', format: 'raw', size: '1M' });
    assert.equal(await reason(missing), 'POOL_NOT_FOUND');
  });

  it('trash_hours keeps what is removed for so long', async () => {
    await run('CreateImage', { path: 'rbd:kept/disk', format: 'raw', size: '1M' });
    await run('DeleteImage', { path: 'rbd:kept/disk' });
    assert.equal(await cluster.rbd('ls', 'kept'), '');
    const [trashed] = JSON.parse(await cluster.rbd('trash', 'ls', '--long', '--format=json', 'kept')) as Message[];
    assert.equal(trashed?.['name'], 'disk');
    assert.match(String(trashed['status']), /protected until/);
    await cluster.rbd('trash', 'restore', '--pool', 'kept', String(trashed['id']));
    await run('CreateSnapshot', { path: 'rbd:kept/disk', format: 'raw', snapshot: 'one' });
    await run('DeleteImage', { path: 'rbd:kept/disk' });
  });

  it('a read-only pool is read', async () => {
    await cluster.rbd('import', '--no-progress', file('disk.raw'), 'shown/disk');
    await run('CopyImage', { source: 'rbd:shown/disk', target: file('shown.raw'), verify: true });
    const write = { path: 'rbd:shown/disk', mode: 'WIPE_MODE_ZERO' };
    assert.equal(await reason(run('WipeImage', write)), 'ROOT_READ_ONLY');
    assert.equal(await reason(run('DeleteImage', { path: 'rbd:shown/disk' })), 'ROOT_READ_ONLY');
  });

  it('a protected snapshot stays while it has clones, and goes without them', async () => {
    await run('CreateImage', { path: 'rbd:rbd/parent', format: 'raw', size: '4M' });
    await run('CreateSnapshot', { path: 'rbd:rbd/parent', format: 'raw', snapshot: 'safe' });
    await cluster.rbd('snap', 'protect', 'rbd/parent@safe');
    await cluster.rbd('clone', 'rbd/parent@safe', 'rbd/child');
    const snapshot = { path: 'rbd:rbd/parent', format: 'raw', snapshot: 'safe' };
    const refused = await failure(run('DeleteSnapshot', snapshot));
    assert.equal(refused.reason, 'IMAGE_HAS_DEPENDANTS');
    assert.match(String(refused.metadata['dependants']), /rbd:rbd\/child/);
    assert.equal(await reason(run('DeleteImage', { path: 'rbd:rbd/parent' })), 'IMAGE_HAS_DEPENDANTS');
    await run('DeleteImage', { path: 'rbd:rbd/child' });
    await run('DeleteSnapshot', snapshot);
    await run('DeleteImage', { path: 'rbd:rbd/parent' });
  });

  it('an image without a map of its objects says its length as the most that it can take', async () => {
    const words = ['--size', '1G', '--image-feature', 'layering', 'rbd/plain'];
    await cluster.rbd('create', ...words);
    const look = { path: 'rbd:rbd/plain', format: 'raw' };
    const { info } = (await daemon.stranger.unary('ImageService/GetImageInfo', look)) as { info: Message };
    assert.equal(info['allocated_bytes'], String(1024 * MIB));
    await run('CreateOverlay', { path: 'rbd:rbd/over', backing_file: 'rbd:rbd/plain', backing_format: 'raw' });
    await run('DeleteImage', { path: 'rbd:rbd/over' });
    await cluster.rbd('snap', 'purge', '--no-progress', 'rbd/plain');
    await cluster.rbd('rm', '--no-progress', 'rbd/plain');
  });

  it('what is streamed or sent to other hosts are files: said in words', async () => {
    await run('CreateImage', { path: 'rbd:rbd/sent', format: 'raw', size: '4M' });
    const upload = daemon.stranger.unary('ImageService/StartUpload', {
      target: 'rbd:rbd/uploaded',
      format: 'raw',
      length_bytes: '1048576',
    });
    assert.equal(await reason(upload), 'UNSUPPORTED_BY_BACKEND');
    const download = daemon.stranger.all('ImageService/DownloadImage', { path: 'rbd:rbd/sent' });
    assert.equal(await reason(download), 'UNSUPPORTED_BY_BACKEND');
    const exporting = daemon.stranger.unary('ImageService/OpenExport', { path: 'rbd:rbd/sent', peer: 'dns:other' });
    assert.equal(await reason(exporting), 'UNSUPPORTED_BY_BACKEND');
    for (const path of ['rbd:rbd/sent', 'rbd:rbd/written']) {
      const written = daemon.stranger.send('FileService/WriteFile', [{ header: { path } }, { data: Buffer.from('x') }]);
      assert.equal(await reason(written), 'UNSUPPORTED_BY_BACKEND');
    }
    const far = { remote: { host: '127.0.0.1' }, remote_side: 'REMOTE_SIDE_TARGET' };
    const copy = run('CopyImage', { source: 'rbd:rbd/sent', target: '/far/away', ...far });
    assert.equal(await reason(copy), 'UNSUPPORTED_BY_BACKEND');
    await run('DeleteImage', { path: 'rbd:rbd/sent' });
  });

  it('nothing of a key is in a command line, log or journal', async () => {
    const key = (await cluster.ceph('auth', 'get-key', 'client.hostler')).trim();
    assert.ok(key.length > 20);
    assert.ok(!daemon.log.includes(key));
    assert.equal(await sh('sh', '-c', 'grep -rlF "$1" "$2" || true', 'sh', key, scratch.path('daemon')), '');
  });
});
