/** Filesystems that share extents, on loop devices. */
import assert from 'node:assert/strict';
import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { assertSound, guestContent, makeChain } from '../../support/images/chains.js';
import { Daemon } from '../../support/daemon.js';
import { sameBytes, sparseFile } from '../../support/images/disks.js';
import { installed, isRoot, needs } from '../../support/needs.js';
import { whileHeld } from '../../support/processes.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const MIB = 1024 * 1024;

for (const [type, mkfs] of [
  ['xfs', ['mkfs.xfs', '-q', '-m', 'reflink=1']],
  ['btrfs', ['mkfs.btrfs', '-q']],
] as const) {
  describe(`reflink on ${type}`, () => {
    const scratch = scratchFolder();
    let daemon: Daemon;

    before(async function () {
      this.timeout(60_000);
      needs(this, isRoot, 'needs root to mount');
      needs(this, installed(mkfs[0]), `${mkfs[0]} is not installed`);
      const [disk, folder] = [scratch.path('disk'), scratch.path('daemon')];
      await sh('truncate', '-s', '512M', disk);
      await sh(mkfs[0], ...mkfs.slice(1), disk);
      await mkdir(join(folder, 'images'), { recursive: true });
      const mounted = await tryRun('mount', ['-o', 'loop', disk, join(folder, 'images')]);
      needs(this, mounted.code === 0, `${type} cannot be mounted on a loop device here: ${mounted.stderr.trim()}`);
      scratch.onEnd(() => sh('umount', join(folder, 'images')));
      daemon = await Daemon.start(folder);
      scratch.onEnd(() => daemon.stop());
      await sparseFile(daemon.image('disk.raw'), 64 * MIB + 777, [{ at: 0, length: 8 * MIB }]);
    });

    const copy = async (request: Message) =>
      (await daemon.stranger.operation('ImageService/CopyImage', request))['copy'] as Message;

    it('AUTO clones and says why', async () => {
      const result = await copy({ source: daemon.image('disk.raw'), target: daemon.image('clone.raw'), verify: true });
      assert.equal(result['engine'], 'REFLINK');
      assert.match(String(result['why']), /share/);
      assert.equal(result['moved_bytes'], undefined);
      assert.ok(await sameBytes(daemon.image('disk.raw'), daemon.image('clone.raw')));
    });

    it('LOCAL_SPARSE can be demanded', async () => {
      const result = await copy({
        source: daemon.image('disk.raw'),
        target: daemon.image('sparse.raw'),
        engine: 'COPY_ENGINE_LOCAL_SPARSE',
      });
      assert.equal(result['engine'], 'LOCAL_SPARSE');
      assert.ok(await sameBytes(daemon.image('disk.raw'), daemon.image('sparse.raw')));
    });

    it('safe_copy works on a clone that takes the name: resize, rebase, commit', async () => {
      const [base, path] = [daemon.image('safe-base.qcow2'), daemon.image('safe.qcow2')];
      await makeChain([base, path]);
      const before = await guestContent(path);
      const inodes = async () => Promise.all([base, path].map(async (each) => (await stat(each)).ino));
      const change = async (rpc: string, request: Message, changed: readonly [boolean, boolean]) => {
        const old = await inodes();
        const call = { path, format: 'qcow2', safe_copy: true, ...request };
        await daemon.stranger.operation(`ImageService/${rpc}`, call);
        assert.deepEqual(
          (await inodes()).map((inode, index) => inode !== old[index]),
          changed,
          rpc,
        );
        assert.ok((await guestContent(path)).subarray(0, before.length).equals(before), rpc);
        for (const each of [base, path]) await assertSound(each);
      };
      await change('CommitImage', {}, [true, false]);
      assert.ok((await guestContent(base)).equals(before));
      await change('ResizeImage', { size: '80M' }, [false, true]);
      await change('RebaseImage', {}, [false, true]);
      await sh('ln', '-s', 'safe.qcow2', daemon.image('safe-link'));
      const link = { path: daemon.image('safe-link'), format: 'qcow2', size: '90M', safe_copy: true };
      const error = await failure(daemon.stranger.operation('ImageService/ResizeImage', link));
      assert.equal(error.reason, 'UNSUPPORTED_BY_BACKEND');
      assert.deepEqual(await daemon.leftovers(), []);
    });

    it('a held image is seen here too', async () => {
      const path = daemon.image('held.qcow2');
      await sh('qemu-img', 'create', '-q', '-f', 'qcow2', path, '8M');
      await whileHeld(path, scratch.path('nbd.sock'), async () => {
        const info = (await daemon.stranger.unary('ImageService/GetImageInfo', { path }))['info'] as Message;
        assert.equal(info['in_use'], true);
        const error = await failure(copy({ source: path, target: daemon.image('held-copy.qcow2') }));
        assert.equal(error.reason, 'IMAGE_IN_USE');
      });
    });

    if (type === 'btrfs')
      it('also between subvolumes', async () => {
        await sh('btrfs', 'subvolume', 'create', daemon.image('volume'));
        const result = await copy({ source: daemon.image('disk.raw'), target: daemon.image('volume/clone.raw') });
        assert.equal(result['engine'], 'REFLINK');
      });

    it('a full filesystem is NO_SPACE, nothing is left, and the space is back', async () => {
      const free = async () => Number(await sh('stat', '-f', '-c', '%a', daemon.image('')));
      const before = await free();
      const request = {
        path: daemon.image('full.raw'),
        format: 'raw',
        size: '2G',
        preallocation: 'PREALLOCATION_FULL',
      };
      const error = await failure(daemon.stranger.all('ImageService/CreateImage', request));
      assert.equal(error.reason, 'NO_SPACE');
      assert.deepEqual(await daemon.leftovers(), []);
      await sh('sync', '-f', daemon.image(''));
      assert.ok(Math.abs((await free()) - before) < 4096);
    });
  });
}
