/** What a daemon knows of an image from before it shows nobody who may not read the image now. */
import assert from 'node:assert/strict';
import { chmod, mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Daemon } from '../../support/daemon.js';
import { isRoot, needs } from '../../support/needs.js';
import { whileHeld } from '../../support/processes.js';
import { copiedProgram } from '../../support/program.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const NOBODY = 65_534;
/** A header is kept when its file has not changed for so long. */
const SETTLED_MS = 2100;

describe('an image whose header is known', () => {
  const scratch = scratchFolder();
  let daemon: Daemon;
  const image = () => daemon.image('folder/image.qcow2');
  const info = async (): Promise<Message> => {
    const { info: found } = await daemon.stranger.unary('ImageService/GetImageInfo', { path: image() });
    return found as Message;
  };
  const known = async () => {
    await until(async () => Date.now() - (await stat(image())).ctimeMs > SETTLED_MS);
    return info();
  };

  before(async function () {
    needs(this, isRoot, 'needs root to run the daemon as another user');
    const folder = scratch.path('other');
    await mkdir(join(folder, 'images/folder'), { recursive: true });
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', join(folder, 'images/folder/image.qcow2'), '3M');
    await sh('chmod', '711', scratch.path());
    await sh('chown', '-R', `${String(NOBODY)}:${String(NOBODY)}`, folder);
    daemon = await Daemon.start(folder, { uid: NOBODY, program: await copiedProgram(scratch.path('program')) });
    scratch.onEnd(() => daemon.stop());
  });

  it('is refused when the daemon may not read it any more, and shown when it may again', async () => {
    const first = await known();
    assert.equal(first['virtual_size_bytes'], String(3 << 20));
    await chmod(image(), 0);
    assert.equal((await failure(info())).reason, 'ACCESS_DENIED');
    await chmod(image(), 0o600);
    assert.deepEqual(await info(), first);
  });

  it('is refused when the daemon may not enter its folder any more', async () => {
    const first = await known();
    await chmod(daemon.image('folder'), 0);
    try {
      assert.equal((await failure(info())).reason, 'ACCESS_DENIED');
    } finally {
      await chmod(daemon.image('folder'), 0o755);
    }
    assert.deepEqual(await info(), first);
  });

  it('is in use as soon as a process has it open, and takes the space that it takes now', async () => {
    const first = await known();
    assert.equal(first['in_use'] ?? false, false);
    await whileHeld(image(), scratch.path('nbd.sock'), async () => {
      assert.equal((await info())['in_use'], true);
    });
    await sh('qemu-io', '-f', 'qcow2', '-c', 'write 0 1M', image());
    const grown = await info();
    assert.ok(BigInt(String(grown['allocated_bytes'])) >= BigInt(String(first['allocated_bytes'])) + (1n << 20n));
    assert.equal(grown['virtual_size_bytes'], first['virtual_size_bytes']);
  });
});
