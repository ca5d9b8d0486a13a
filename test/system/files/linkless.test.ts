/**
 * A filesystem without hard links: images get their names by another way, and still never replace
 * anything unasked.
 */
import assert from 'node:assert/strict';
import { link, readFile, stat, writeFile } from 'node:fs/promises';
import { status } from '@grpc/grpc-js';
import { Daemon } from '../../support/daemon.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { mountSshfs } from '../../support/faults/sshfs.js';
import { failure } from '../../support/stranger.js';

describe('a filesystem without hard links (sshfs)', () => {
  const scratch = scratchFolder();
  let daemon: Daemon;
  const image = (name: string) => daemon.image(`far/${name}`);

  before(async function () {
    const folder = scratch.path('daemon');
    await mountSshfs(this, scratch, `${folder}/images/far`);
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
