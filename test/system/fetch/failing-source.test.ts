/**
 * Sources that fail or are slow while they are read: nbdkit's error and delay filters behind a
 * file.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { status } from '@grpc/grpc-js';
import { begun } from '../../support/begun.js';
import { checkEach } from '../../support/check-each.js';
import { Daemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { installed, isRoot, needs } from '../../support/needs.js';
import { gone } from '../../support/processes.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const MIB = 1024 * 1024;

describe('a source that fails', () => {
  const scratch = scratchFolder();
  let daemon: Daemon;
  const trigger = () => scratch.path('fail-now');
  const source = () => daemon.image('remote/disk.raw');
  const convert = (target: string) => ({
    source: source(),
    source_format: 'raw',
    target: daemon.image(target),
    target_format: 'qcow2',
  });

  before(async function () {
    needs(this, isRoot && existsSync('/dev/fuse'), 'needs root and /dev/fuse');
    needs(this, installed('nbdkit') && installed('nbdfuse'), 'nbdkit or nbdfuse is not installed');
    daemon = await Daemon.start(scratch.path('daemon'));
    scratch.onEnd(() => daemon.stop());
    await writeFile(scratch.path('disk'), noise(16 * MIB));
    await mkdir(daemon.image('remote'));
    const [socket, pidFile] = [scratch.path('nbd.sock'), scratch.path('nbd.pid')];
    await sh(
      ...(['nbdkit', '-U', socket, '-P', pidFile, '--filter=error', '--filter=delay', 'file'] as const),
      ...[scratch.path('disk'), 'error-pread-rate=100%', 'error=EIO', `error-file=${trigger()}`, 'rdelay=50ms'],
    );
    scratch.onEnd(async () => {
      const pid = Number(readFileSync(pidFile, 'utf8'));
      process.kill(pid);
      await gone(pid);
    });
    const mount = spawn('nbdfuse', ['-r', source(), `nbd+unix:///?socket=${socket}`], { stdio: 'ignore' });
    const unmounted = new Promise((resolve) => mount.once('exit', resolve));
    scratch.onEnd(async () => {
      await sh('umount', daemon.image('remote'));
      await unmounted;
    });
    await until(() => existsSync(source()));
  });
  afterEach(() => rm(trigger(), { force: true }));
  checkEach(async () => assert.deepEqual(await daemon.leftovers(), []));

  it('a read error is IO_ERROR, nothing is left, and the same call succeeds when the disk does', async () => {
    await writeFile(trigger(), '');
    const error = await failure(daemon.stranger.all('ImageService/ConvertImage', convert('a.qcow2')));
    assert.equal(error.code, status.INTERNAL);
    assert.equal(error.reason, 'IO_ERROR');
    assert.ok(!existsSync(daemon.image('a.qcow2')));
    await rm(trigger());
    await daemon.stranger.operation('ImageService/ConvertImage', convert('a.qcow2'));
    assert.equal(
      (await sh('qemu-img', 'compare', scratch.path('disk'), daemon.image('a.qcow2'))).includes('identical'),
      true,
    );
  });
  it('a read error in the middle of a copy leaves the old target as it was', async () => {
    await writeFile(daemon.image('old.raw'), 'old');
    const copy = {
      source: source(),
      target: daemon.image('old.raw'),
      overwrite: true,
      bandwidth_bytes_per_second: String(4 * MIB),
    };
    const { failed } = await begun(daemon.stranger, 'ImageService/CopyImage', copy);
    await writeFile(trigger(), '');
    assert.equal((await failed).reason, 'IO_ERROR');
    assert.equal(readFileSync(daemon.image('old.raw'), 'utf8'), 'old');
  });
  it('a slow source can be cancelled', async () => {
    const slowly = { ...convert('slow.qcow2'), bandwidth_bytes_per_second: String(MIB), labels: { slow: '1' } };
    const { failed } = await begun(daemon.stranger, 'ImageService/ConvertImage', slowly, 0);
    // The tool has started.
    await until(async () => (await daemon.leftovers()).some((name) => name.endsWith('/part')));
    await daemon.stranger.unary('OperationService/CancelOperation', { labels: { slow: '1' } });
    assert.equal((await failed).code, status.CANCELLED);
    assert.ok(!existsSync(daemon.image('slow.qcow2')));
  });
});
