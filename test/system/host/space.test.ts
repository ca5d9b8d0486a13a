/** Small filesystems that really fill. */
import assert from 'node:assert/strict';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { begun } from '../../support/begun.js';
import { Daemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { isRoot, needs } from '../../support/needs.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const MIB = 1024 * 1024;

describe('space', () => {
  const scratch = scratchFolder();
  let daemon: Daemon;
  const small = (name: string) => daemon.image(`small/${name}`);
  const free = async () => Number(await sh('stat', '-f', '-c', '%a', small(''))) * 4096;

  before(async function () {
    this.timeout(60_000);
    needs(this, isRoot, 'needs root to mount');
    const [disk, folder] = [scratch.path('disk'), scratch.path('daemon')];
    await sh('truncate', '-s', '64M', disk);
    await sh('mke2fs', '-q', '-t', 'ext4', '-b', '4096', '-m', '0', disk);
    await mkdir(join(folder, 'images/small'), { recursive: true });
    const mounted = await tryRun('mount', ['-o', 'loop', disk, join(folder, 'images/small')]);
    needs(this, mounted.code === 0, `a loop device cannot be mounted here: ${mounted.stderr.trim()}`);
    scratch.onEnd(() => sh('umount', join(folder, 'images/small')));
    daemon = await Daemon.start(folder);
    scratch.onEnd(() => daemon.stop());
    await writeFile(daemon.image('30.raw'), noise(30 * MIB));
    await writeFile(daemon.image('100.raw'), noise(100 * MIB));
  });

  const copy = (source: string, target: string, more: Message = {}): Message => ({
    source: daemon.image(source),
    target: small(target),
    engine: 'COPY_ENGINE_LOCAL_SPARSE',
    ...more,
  });

  it('refuses what cannot fit before a byte is written, with the figures', async () => {
    const before = await free();
    for (const [rpc, request] of [
      ['CopyImage', copy('100.raw', 'a')],
      [
        'ConvertImage',
        { source: daemon.image('100.raw'), source_format: 'raw', target: small('a'), target_format: 'qcow2' },
      ],
      ['CreateImage', { path: small('a'), format: 'raw', size: '1G', preallocation: 'PREALLOCATION_FALLOC' }],
    ] as const) {
      const error = await failure(daemon.stranger.all(`ImageService/${rpc}`, request));
      assert.equal(error.code, status.RESOURCE_EXHAUSTED);
      assert.equal(error.reason, 'NO_SPACE');
      assert.ok(Number(error.metadata['needed']) >= 100 * MIB, rpc);
      assert.ok(Math.abs(Number(error.metadata['free']) - before) < MIB);
      assert.equal(await free(), before);
    }
  });

  it('a sparse disk larger than the filesystem is no problem, nor is an overlay', async () => {
    await daemon.stranger.operation('ImageService/CreateImage', {
      path: small('large.qcow2'),
      format: 'qcow2',
      size: '1T',
    });
    await daemon.stranger.operation('ImageService/CreateOverlay', {
      path: small('over.qcow2'),
      backing_file: small('large.qcow2'),
      backing_format: 'qcow2',
    });
    for (const name of ['large.qcow2', 'over.qcow2']) await rm(small(name));
  });

  it('of two that fit one at a time, the second is refused while the first works, and fits afterwards', async () => {
    const slowly = copy('30.raw', 'one', { bandwidth_bytes_per_second: String(20 * MIB) });
    const first = await begun(daemon.stranger, 'ImageService/CopyImage', slowly);
    const error = await failure(daemon.stranger.all('ImageService/CopyImage', copy('30.raw', 'two')));
    assert.equal(error.reason, 'NO_SPACE');
    assert.ok(Number(error.metadata['reserved']) > 0);
    await first.succeeded;
    await rm(small('one'));
    await daemon.stranger.operation('ImageService/CopyImage', copy('30.raw', 'two'));
    await rm(small('two'));
  });

  it('when somebody else fills it meanwhile: NO_SPACE, nothing is left, the space is back', async () => {
    const before = await free();
    const slowly = copy('30.raw', 'full', { bandwidth_bytes_per_second: String(10 * MIB) });
    const { failed } = await begun(daemon.stranger, 'ImageService/CopyImage', slowly);
    await tryRun('dd', ['if=/dev/zero', `of=${small('filler')}`, 'bs=1M', 'status=none']);
    assert.equal((await failed).reason, 'NO_SPACE');
    assert.deepEqual(await daemon.leftovers(), []);
    await rm(small('filler'));
    await sh('sync', '-f', small(''));
    assert.ok(Math.abs((await free()) - before) < MIB);
  });
});
