/**
 * The image verbs on images of a real Ceph cluster, with and without keys, against the cluster's
 * own word.
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { checkEach } from '../support/check-each.js';
import { suiteDaemon } from '../support/daemon.js';
import { allocatedBytes, blockDigest, sparseFile } from '../support/images/disks.js';
import { cephCluster } from '../support/servers/ceph.js';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';
import { Stranger, failure, type Message } from '../support/stranger.js';

const MIB = 1024 * 1024;
const PIECES = [
  { at: 0, length: 5 * MIB },
  { at: 40 * MIB, length: MIB },
];

for (const auth of ['cephx', 'none'] as const) {
  describe(`images of a Ceph cluster (${auth})`, () => {
    const scratch = scratchFolder();
    const cluster = cephCluster(scratch, auth);
    const daemon = suiteDaemon(scratch, () => ({
      toml: cluster.toml({ pool: 'roles = ["admin", "operator"]\n' }),
      // Who calls there is a viewer.
      listen: ['tcp://127.0.0.1:0'],
    }));
    const file = (name: string) => daemon.get().image(name);
    const run = (rpc: string, request: Message) => daemon.get().stranger.operation(`ImageService/${rpc}`, request);
    const info = async (path: string) =>
      (await daemon.get().stranger.unary('ImageService/GetImageInfo', { path, format: 'raw' }))['info'] as Message;
    /** The bytes of an image, as the cluster exports them. */
    const exported = async (image: string) => {
      const path = scratch.path('exported');
      await sh('rm', '-f', path);
      await cluster.rbd('export', '--no-progress', image, path);
      return readFile(path);
    };

    before(async () => {
      await sparseFile(file('disk.raw'), 64 * MIB, PIECES);
    });
    checkEach(async () => {
      assert.deepEqual(await cluster.leftovers(), []);
      assert.deepEqual(await daemon.get().leftovers(), []);
    });

    it('CreateImage makes an image of any length, and no other format', async () => {
      await run('CreateImage', { path: 'rbd:rbd/empty', format: 'raw', size: '1G' });
      assert.equal((await info('rbd:rbd/empty'))['virtual_size_bytes'], String(1024 * MIB));
      const again = run('CreateImage', { path: 'rbd:rbd/empty', format: 'raw', size: '1G' });
      assert.equal((await failure(again)).reason, 'TARGET_EXISTS');
      const qcow2 = run('CreateImage', { path: 'rbd:rbd/other', format: 'qcow2', size: '1G' });
      assert.equal((await failure(qcow2)).reason, 'UNSUPPORTED_BY_BACKEND');
      const full = { path: 'rbd:rbd/other', format: 'raw', size: '1G', preallocation: 'PREALLOCATION_FULL' };
      assert.equal((await failure(run('CreateImage', full))).reason, 'UNSUPPORTED_BY_BACKEND');
    });

    it('file to RBD and back: the same bytes, sparse both ways', async () => {
      const source = { source: file('disk.raw'), source_format: 'raw' };
      const there = await run('ConvertImage', { ...source, target: 'rbd:rbd/disk', target_format: 'raw' });
      assert.equal(((there['image'] as Message)['work'] as Message)['method'], 'convert');
      assert.ok((await exported('rbd/disk')).equals(await readFile(file('disk.raw'))));
      // Objects of 4 MiB: 8 MiB for the first piece, 4 for the second.
      assert.ok(Number((await info('rbd:rbd/disk'))['allocated_bytes']) <= 12 * MIB);
      const back = { source: 'rbd:rbd/disk', source_format: 'raw', target: file('back.qcow2'), target_format: 'qcow2' };
      await run('ConvertImage', back);
      await sh('qemu-img', 'compare', '-f', 'raw', '-F', 'qcow2', file('disk.raw'), file('back.qcow2'));
      assert.ok((await allocatedBytes(file('back.qcow2'))) < 8 * MIB);
      await run('CopyImage', { source: 'rbd:rbd/disk', target: file('copied.raw'), verify: true });
      assert.ok((await readFile(file('copied.raw'))).equals(await readFile(file('disk.raw'))));
      assert.ok((await allocatedBytes(file('copied.raw'))) <= 12 * MIB);
    });

    it('DigestImage reads the data that there is', async () => {
      const digest = (await run('DigestImage', { path: 'rbd:rbd/disk' }))['digest'] as Message;
      const expected = blockDigest(await readFile(file('disk.raw')));
      assert.ok(JSON.stringify(digest).includes(expected), JSON.stringify(digest));
    });

    it('FetchImage goes straight into the pool', async () => {
      await sh('qemu-img', 'convert', '-c', '-f', 'raw', '-O', 'qcow2', file('disk.raw'), file('fetched.qcow2'));
      const source = { source: { file: { path: file('fetched.qcow2') } }, source_format: 'qcow2' };
      await run('FetchImage', { ...source, target: 'rbd:rbd/fetched', target_format: 'raw' });
      assert.ok((await exported('rbd/fetched')).equals(await readFile(file('disk.raw'))));
      await run('DeleteImage', { path: 'rbd:rbd/fetched' });
    });

    it('CopyImage copies files, but no length that qemu cannot read there', async () => {
      await writeFile(file('small.raw'), 'x'.repeat(1024));
      const answer = await run('CopyImage', { source: file('small.raw'), target: 'rbd:rbd/small', verify: true });
      assert.equal((answer['copy'] as Message)['length_bytes'], '1024');
      assert.equal((await exported('rbd/small')).toString(), 'x'.repeat(1024));
      await writeFile(file('odd.raw'), 'x'.repeat(1000));
      const odd = await failure(run('CopyImage', { source: file('odd.raw'), target: 'rbd:rbd/odd' }));
      assert.equal(odd.reason, 'UNSUPPORTED_BY_BACKEND');
    });

    it('CopyImage in the cluster moves no bytes through this host', async () => {
      const answer = await run('CopyImage', { source: 'rbd:rbd/disk', target: 'rbd:rbd/deep', verify: true });
      const copy = answer['copy'] as Message;
      assert.equal(copy['engine'], 'RBD_DEEP_COPY');
      assert.equal(copy['moved_bytes'] ?? '0', '0');
      assert.ok((await exported('rbd/deep')).equals(await readFile(file('disk.raw'))));
    });

    it('overlay, snapshot, extract: a clone and what becomes of it', async () => {
      await run('CreateSnapshot', { path: 'rbd:rbd/disk', format: 'raw', snapshot: 'base' });
      const request = { path: 'rbd:rbd/clone', backing_file: 'rbd:rbd/disk@base', backing_format: 'raw', size: '128M' };
      await run('CreateOverlay', request);
      const clone = await info('rbd:rbd/clone');
      assert.equal(clone['full_backing_file'], 'rbd:rbd/disk@base');
      assert.equal(clone['virtual_size_bytes'], String(128 * MIB));
      await run('CreateSnapshot', { path: 'rbd:rbd/clone', format: 'raw', snapshot: 'clean' });
      await run('WipeImage', { path: 'rbd:rbd/clone', mode: 'WIPE_MODE_DISCARD' });
      assert.ok((await exported('rbd/clone')).every((byte) => byte === 0));
      const extract = {
        path: 'rbd:rbd/clone',
        source_format: 'raw',
        target: file('clean.qcow2'),
        target_format: 'qcow2',
      };
      await run('ExtractSnapshot', { ...extract, snapshot: 'clean' });
      await sh('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', file('clean.qcow2'), file('clean.raw'));
      const was = Buffer.concat([await readFile(file('disk.raw')), Buffer.alloc(64 * MIB)]);
      assert.ok((await readFile(file('clean.raw'))).equals(was));
      await run('RevertSnapshot', { path: 'rbd:rbd/clone', format: 'raw', snapshot: 'clean' });
      assert.ok((await exported('rbd/clone')).equals(was));
      const listed = await daemon
        .get()
        .stranger.unary('ImageService/ListSnapshots', { path: 'rbd:rbd/clone', format: 'raw' });
      assert.deepEqual(
        (listed['snapshots'] as Message[]).map(({ name }) => name),
        ['clean'],
      );
    });

    it('backing_chain names what a clone is a clone of', async () => {
      const request = { path: 'rbd:rbd/clone', format: 'raw', backing_chain: true };
      const answer = await daemon.get().stranger.unary('ImageService/GetImageInfo', request);
      const [parent, ...more] = answer['backing_chain'] as Message[];
      assert.equal(parent?.['path'], 'rbd:rbd/disk@base');
      assert.equal(parent['virtual_size_bytes'], String(64 * MIB));
      assert.deepEqual(more, []);
    });

    it('only the roles that a pool names reach it', async () => {
      const viewer = new Stranger(daemon.get().tcp);
      scratch.onEnd(() => {
        viewer.close();
        return Promise.resolve();
      });
      const look = viewer.unary('ImageService/GetImageInfo', { path: 'rbd:rbd/disk', format: 'raw' });
      assert.equal((await failure(look)).reason, 'PATH_OUTSIDE_ROOTS');
      const space = viewer.unary('HostInfoService/GetPoolInfo', { pool: 'rbd' });
      assert.equal((await failure(space)).reason, 'PATH_OUTSIDE_ROOTS');
      assert.equal((await viewer.unary('HostInfoService/GetHostInfo'))['pools'], undefined);
      const [pool] = (await daemon.get().stranger.unary('HostInfoService/GetHostInfo'))['pools'] as Message[];
      assert.deepEqual([pool?.['name'], pool?.['cluster'], pool?.['writable']], ['rbd', 'test', true]);
    });

    it('what clones need stays: snapshots, bases', async () => {
      const snapshot = { path: 'rbd:rbd/disk', format: 'raw', snapshot: 'base' };
      assert.equal((await failure(run('DeleteSnapshot', snapshot))).reason, 'IMAGE_HAS_DEPENDANTS');
      const error = await failure(run('DeleteImage', { path: 'rbd:rbd/disk' }));
      assert.equal(error.reason, 'IMAGE_HAS_DEPENDANTS');
      assert.equal(error.metadata['dependants'], 'rbd:rbd/clone');
      const over = { source: file('odd.raw'), source_format: 'raw', target: 'rbd:rbd/disk', target_format: 'raw' };
      assert.equal((await failure(run('ConvertImage', { ...over, overwrite: true }))).reason, 'IMAGE_HAS_DEPENDANTS');
    });

    for (const [rpc, more] of [
      ['CommitImage', {}],
      ['RebaseImage', {}],
    ] as const)
      it(`${rpc} flattens a clone`, async () => {
        await run('CreateOverlay', { path: 'rbd:rbd/flat', backing_file: 'rbd:rbd/disk', backing_format: 'raw' });
        await run(rpc, { path: 'rbd:rbd/flat', format: 'raw', ...more });
        assert.equal((await info('rbd:rbd/flat'))['full_backing_file'], undefined);
        assert.ok((await exported('rbd/flat')).equals(await readFile(file('disk.raw'))));
        await run('DeleteImage', { path: 'rbd:rbd/flat' });
      });

    it('an overlay on an image takes the snapshot along that was made for it', async () => {
      await run('CreateOverlay', { path: 'rbd:rbd/alone', backing_file: 'rbd:rbd/empty', backing_format: 'raw' });
      assert.equal(((await info('rbd:rbd/empty'))['snapshots'] as Message[]).length, 1);
      await run('DeleteImage', { path: 'rbd:rbd/alone' });
      assert.equal((await info('rbd:rbd/empty'))['snapshots'], undefined);
    });

    it('MapImage, MeasureImage and CompareImages read extents', async () => {
      const pages = await daemon.get().stranger.all('ImageService/MapImage', { path: 'rbd:rbd/disk', format: 'raw' });
      const extents = pages.flatMap(({ extents: some }) => some as Message[]);
      const data = extents.filter((extent) => extent['data'] === true);
      assert.ok(data.reduce((sum, extent) => sum + Number(extent['length_bytes']), 0) <= 12 * MIB);
      const measure = { path: 'rbd:rbd/disk', format: 'raw', target_format: 'qcow2' };
      assert.ok(
        Number((await daemon.get().stranger.unary('ImageService/MeasureImage', measure))['required_bytes']) < 20 * MIB,
      );
      const pair = { first: file('disk.raw'), first_format: 'raw', second: 'rbd:rbd/deep', second_format: 'raw' };
      assert.equal(((await run('CompareImages', pair))['compare'] as Message)['equal'], true);
    });

    it('ResizeImage grows and shrinks; CheckImage has nothing to check', async () => {
      await run('ResizeImage', { path: 'rbd:rbd/deep', format: 'raw', size: '80M' });
      const shrink = { path: 'rbd:rbd/deep', format: 'raw', size: '16M' };
      assert.equal((await failure(run('ResizeImage', shrink))).reason, 'WOULD_SHRINK');
      await run('ResizeImage', { ...shrink, allow_shrink: true });
      assert.equal((await info('rbd:rbd/deep'))['virtual_size_bytes'], String(16 * MIB));
      assert.equal(
        (await failure(run('CheckImage', { path: 'rbd:rbd/deep', format: 'raw' }))).reason,
        'UNSUPPORTED_BY_BACKEND',
      );
    });

    it('WipeImage writes zeros', async () => {
      const wiped = (await run('WipeImage', { path: 'rbd:rbd/deep', mode: 'WIPE_MODE_ZERO' }))['image'] as Message;
      assert.equal((wiped['info'] as Message)['virtual_size_bytes'], String(16 * MIB));
      assert.ok((await exported('rbd/deep')).every((byte) => byte === 0));
    });

    it('overwrite replaces an image, and nothing of the old one stays', async () => {
      const request = { source: file('disk.raw'), source_format: 'raw', target: 'rbd:rbd/deep', target_format: 'raw' };
      assert.equal((await failure(run('ConvertImage', request))).reason, 'TARGET_EXISTS');
      await run('ConvertImage', { ...request, overwrite: true });
      assert.ok((await exported('rbd/deep')).equals(await readFile(file('disk.raw'))));
    });

    it('GetPoolInfo says what the pool holds and can take', async () => {
      const space = await daemon.get().stranger.unary('HostInfoService/GetPoolInfo', { pool: 'rbd' });
      const [total, free, used] = ['total_bytes', 'free_bytes', 'used_bytes'].map((key) => Number(space[key]));
      assert.ok(total === (free ?? 0) + (used ?? 0) && (free ?? 0) > 1024 * MIB, JSON.stringify(space));
      const other = daemon.get().stranger.unary('HostInfoService/GetPoolInfo', { pool: 'other' });
      assert.equal((await failure(other)).reason, 'POOL_NOT_FOUND');
    });

    it('DeleteImage removes an image with its snapshots', async () => {
      for (const name of ['clone', 'deep', 'small', 'disk', 'empty'])
        await run('DeleteImage', { path: `rbd:rbd/${name}` });
      assert.equal(await cluster.rbd('ls', 'rbd'), '');
      assert.equal((await failure(run('DeleteImage', { path: 'rbd:rbd/disk' }))).reason, 'IMAGE_NOT_FOUND');
      await run('DeleteImage', { path: 'rbd:rbd/disk', missing_ok: true });
    });
  });
}
