/** What ListImages says of the pools of a real Ceph cluster. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { cephCluster } from '../support/servers/ceph.js';
import { Daemon, HOSTLER } from '../support/daemon.js';
import { noise } from '../support/images/disks.js';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';
import { Stranger, failure, type Message } from '../support/stranger.js';

const MIB = 1024 * 1024;

describe('lists of a pool', () => {
  const scratch = scratchFolder();
  const cluster = cephCluster(scratch, 'cephx');
  let daemon: Daemon;
  const run = (rpc: string, request: Message) => daemon.stranger.operation(`ImageService/${rpc}`, request);
  const page = (request: Message) => daemon.stranger.unary('ImageService/ListImages', { path: 'rbd:rbd', ...request });
  const images = (answer: Message) => (answer['images'] ?? []) as Message[];
  const paths = async (request: Message = {}) => images(await page(request)).map((image) => image['path']);
  const reason = async (answer: Promise<unknown>) => (await failure(answer)).reason;

  before(async () => {
    await cluster.rbd('namespace', 'create', 'rbd/tenant');
    for (const pool of ['other', 'closed']) {
      await cluster.ceph('osd', 'pool', 'create', pool, '8', '8');
      await cluster.rbd('pool', 'init', pool);
    }
    daemon = await Daemon.start(scratch.path('daemon'), {
      toml: `${cluster.toml()}[[pools]]\nname = "other"\ncluster = "test"\n[cache]\npools = ["rbd"]\n
[[pools]]\nname = "closed"\ncluster = "test"\nroles = ["admin"]\n`,
      // Who calls there is a viewer.
      listen: ['tcp://127.0.0.1:0'],
    });
    scratch.onEnd(() => daemon.stop());
    await writeFile(daemon.image('disk.raw'), noise(8 * MIB));
    await run('CopyImage', { source: daemon.image('disk.raw'), target: 'rbd:rbd/base', labels: { vm: 'one' } });
    const backing = { backing_file: 'rbd:rbd/base', backing_format: 'raw' };
    await run('CreateOverlay', { path: 'rbd:rbd/clone', ...backing });
    await run('CreateOverlay', { path: 'rbd:other/clone', ...backing });
    await run('CreateOverlay', { path: 'rbd:closed/clone', ...backing });
    await run('CreateImage', { path: 'rbd:rbd/tenant/base', format: 'raw', size: '1G' });
    const inside = { backing_file: 'rbd:rbd/tenant/base', backing_format: 'raw' };
    await run('CreateOverlay', { path: 'rbd:rbd/tenant/clone', ...inside });
  });

  it('has every image with what it is a clone of, its clones in all pools, and the space that it takes', async () => {
    const answer = await page({});
    assert.deepEqual(
      images(answer).map(({ path, dependants, virtual_size_bytes: size }) => [path, dependants, Number(size) / MIB]),
      [
        ['rbd:rbd/base', 3, 8],
        ['rbd:rbd/clone', undefined, 8],
        ['rbd:rbd/tenant/base', 1, 1024],
        ['rbd:rbd/tenant/clone', undefined, 1024],
      ],
    );
    const [base, clone, empty] = images(answer);
    assert.equal(base?.['allocated_bytes'], String(8 * MIB));
    assert.equal(empty?.['allocated_bytes'], undefined);
    assert.match(String(clone?.['backing_file']), /^rbd:rbd\/base@/);
    assert.deepEqual([base['format'], base['modify_time'], base['in_use']], ['raw', undefined, undefined]);
    assert.deepEqual(base['labels'], { vm: 'one' });
    assert.deepEqual([answer['generation'], answer['next_page_token'], answer['unseen']], Array(3).fill(undefined));
  });

  it('is of one namespace, or of none', async () => {
    assert.deepEqual(await paths({ path: 'rbd:rbd/tenant' }), ['rbd:rbd/tenant/base', 'rbd:rbd/tenant/clone']);
    assert.deepEqual(await paths({ flat: true }), ['rbd:rbd/base', 'rbd:rbd/clone']);
    assert.deepEqual(await paths({ path: 'rbd:other' }), ['rbd:other/clone']);
  });

  it('is chosen from by clones, parents, locks and makers', async () => {
    const chosen = (filter: Message) => paths({ filter });
    assert.deepEqual(await chosen({ has_dependants: true }), ['rbd:rbd/base', 'rbd:rbd/tenant/base']);
    assert.deepEqual(await chosen({ backed_by: 'rbd:rbd/base' }), ['rbd:rbd/clone']);
    const [clone] = images(await page({ filter: { backed_by: 'rbd:rbd/base' } }));
    assert.deepEqual(await chosen({ backed_by: String(clone?.['backing_file']) }), ['rbd:rbd/clone']);
    assert.deepEqual(await chosen({ formats: ['qcow2'] }), []);
    assert.deepEqual(await chosen({ labels: { vm: 'one' } }), ['rbd:rbd/base']);
    await cluster.rbd('lock', 'add', 'rbd/clone', 'somebody');
    assert.deepEqual(await chosen({ in_use: true }), ['rbd:rbd/clone']);
    const [[locker = '']] = [/client\.\d+/.exec(await cluster.rbd('lock', 'ls', 'rbd/clone')) ?? ['']];
    await cluster.rbd('lock', 'rm', 'rbd/clone', 'somebody', locker);
    assert.equal((await chosen({ in_use: false })).length, 4);
    for (const filter of [{ orphaned: true }, { unwritten_since: { seconds: '1' } }])
      assert.equal(await reason(page({ filter })), 'UNSUPPORTED_BY_BACKEND');
  });

  it('shows in all its pages what was there at the first one', async () => {
    const first = await page({ page_size: 3 });
    assert.equal(images(first).length, 3);
    await run('CreateImage', { path: 'rbd:rbd/tenant/born', format: 'raw', size: '1M' });
    const token = { page_size: 3, page_token: first['next_page_token'] };
    const second = await page(token);
    assert.deepEqual(
      [images(second).map(({ path }) => path), second['next_page_token']],
      [['rbd:rbd/tenant/clone'], undefined],
    );
    assert.equal(await reason(page({ ...token, path: 'rbd:other' })), 'GENERATION_TOO_OLD');
    const forged = Buffer.from(JSON.stringify(['0'.repeat(16), 1, '', ''])).toString('base64url');
    assert.equal(await reason(page({ page_token: forged })), 'GENERATION_TOO_OLD');
    assert.ok((await paths()).includes('rbd:rbd/tenant/born'), 'what was made before the call is in the list');
    await run('DeleteImage', { path: 'rbd:rbd/tenant/born' });
  });

  it('says where no address can name an image, and leaves out what the daemon keeps', async () => {
    await cluster.rbd('create', '--size', '1M', '--pool', 'other', '--image', 'a:b');
    await cluster.rbd('create', '--size', '1M', '--pool', 'other', '--image', '.hostler-somebody');
    const answer = await page({ path: 'rbd:other' });
    assert.deepEqual(
      images(answer).map(({ path }) => path),
      ['rbd:other/clone'],
    );
    assert.deepEqual(answer['unseen'], [{ path: 'rbd:other', why: 'no address can name 1 of its images' }]);
    for (const image of ['a:b', '.hostler-somebody']) await cluster.rbd('rm', '--pool', 'other', '--image', image);
  });

  it('has for a caller what the roles of the pools let him see', async () => {
    const viewer = new Stranger(daemon.tcp);
    try {
      const [base] = images(await viewer.unary('ImageService/ListImages', { path: 'rbd:rbd' }));
      assert.deepEqual([base?.['path'], base?.['dependants']], ['rbd:rbd/base', 2]);
      const closed = viewer.unary('ImageService/ListImages', { path: 'rbd:closed' });
      assert.equal(await reason(closed), 'PATH_OUTSIDE_ROOTS');
    } finally {
      viewer.close();
    }
  });

  it('is shown by hostler ls, tree and du', async () => {
    const shown = async (...words: readonly string[]) => sh(HOSTLER, '--address', daemon.address, ...words);
    assert.match(await shown('ls', 'rbd:rbd'), /^raw +8\.0 MiB +8\.0 MiB +3 .*rbd:rbd\/base$/m);
    assert.match(await shown('tree', 'rbd:rbd'), /^rbd:rbd\/base .*\n└── rbd:rbd\/clone /m);
    assert.match(await shown('du', 'rbd:rbd'), /^8\.0 MiB +2 +\.$/m);
  });

  it('is refused for what is no pool or namespace, and is not watched', async () => {
    for (const path of ['rbd:nobody', 'rbd:rbd/nobody']) assert.equal(await reason(page({ path })), 'POOL_NOT_FOUND');
    for (const path of ['rbd:', 'rbd:rbd/', 'rbd:rbd/a/b', 'rbd:rbd@b', 'rbd:rbd/a@b'])
      assert.equal(await reason(page({ path })), 'INVALID_FIELD', path);
    const watch = daemon.stranger.all('ImageService/WatchImages', { path: 'rbd:rbd' });
    assert.equal(await reason(watch), 'UNSUPPORTED_BY_BACKEND');
  });
});
