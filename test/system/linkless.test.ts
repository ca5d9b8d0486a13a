/** A filesystem without hard links: images get their names by another way, and still never replace anything unasked. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { link, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { status } from '@grpc/grpc-js';
import { Daemon } from '../support/daemon.js';
import { installed, isRoot, needs } from '../support/needs.js';
import { scratchFolder } from '../support/scratch.js';
import { sh, tryRun } from '../support/shell.js';
import { failure } from '../support/stranger.js';

const SFTP_SERVER = '/usr/lib/openssh/sftp-server';

describe('a filesystem without hard links (sshfs)', () => {
  const scratch = scratchFolder();
  let daemon: Daemon;
  const image = (name: string) => daemon.image(`far/${name}`);

  before(async function () {
    needs(this, isRoot && existsSync('/dev/fuse'), 'needs root and /dev/fuse');
    needs(this, installed('sshfs') && existsSync(SFTP_SERVER), 'sshfs or sftp-server is not installed');
    const folder = scratch.path('daemon');
    await mkdir(`${folder}/images/far`, { recursive: true });
    await mkdir(scratch.path('disk'));
    // In place of ssh: the server's end, on this machine.
    const command = scratch.path('ssh');
    await writeFile(command, `#!/bin/sh\nexec ${SFTP_SERVER}\n`, { mode: 0o755 });
    const options = `disable_hardlink,ssh_command=${command}`;
    const mounted = await tryRun('sshfs', ['-o', options, `x:${scratch.path('disk')}`, `${folder}/images/far`]);
    needs(this, mounted.code === 0, `sshfs cannot be mounted here: ${mounted.stderr.trim()}`);
    scratch.onEnd(() => sh('umount', `${folder}/images/far`));
    daemon = await Daemon.start(folder);
    scratch.onEnd(() => daemon.stop());
    await writeFile(image('one'), '');
    await assert.rejects(link(image('one'), image('two')), 'it has links after all');
  });

  it('an image is made there, and nothing else is left', async () => {
    await daemon.stranger.operation('ImageService/CreateImage', {
      path: image('a.qcow2'),
      format: 'qcow2',
      size: '1G',
    });
    assert.match(await sh('qemu-img', 'info', image('a.qcow2')), /virtual size: 1 GiB/);
    assert.deepEqual(await daemon.leftovers(), []);
  });
  it('an existing name is not replaced without overwrite, and is with it', async () => {
    await writeFile(image('old'), 'old');
    const request = { path: image('old'), format: 'raw', size: '1M' };
    const error = await failure(daemon.stranger.all('ImageService/CreateImage', request));
    assert.equal(error.code, status.ALREADY_EXISTS);
    assert.equal(await readFile(image('old'), 'utf8'), 'old');
    await daemon.stranger.operation('ImageService/CreateImage', { ...request, overwrite: true });
    assert.equal((await stat(image('old'))).size, 1 << 20);
    assert.deepEqual(await daemon.leftovers(), []);
  });
});
