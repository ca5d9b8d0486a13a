/** INTERRUPTED speaks of one file, and only of one that an operation may have left half changed. */
import assert from 'node:assert/strict';
import { linkSync, statSync, unlinkSync } from 'node:fs';
import { copyFile, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { Daemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { needs } from '../../support/needs.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const MIB = 1024 * 1024;

describe('marks of interrupted changes', () => {
  const scratch = scratchFolder();
  let daemon: Daemon;
  const image = (name: string) => daemon.image(name);
  const start = async (...failpoints: string[]) => {
    const toml = failpoints.length === 0 ? '' : `[debug]\nfailpoints = ${JSON.stringify(failpoints)}\n`;
    daemon = await Daemon.start(scratch.path('daemon'), { toml });
  };
  const call = (rpc: string, request: Message) => daemon.stranger.operation(`ImageService/${rpc}`, request);
  const marks = async (path: string) => {
    const { info } = await daemon.stranger.unary('ImageService/GetImageInfo', { path });
    return (((info as Message)['findings'] ?? []) as Message[]).filter(({ reason }) => reason === 'INTERRUPTED').length;
  };
  /** An image that has a mark: the daemon is killed when it has changed it. */
  const interrupted = async (path: string) => {
    await daemon.stop();
    await start('ResizeImage:sync:kill');
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', path, '8M');
    await failure(call('ResizeImage', { path, format: 'qcow2', size: '16M' }));
    await daemon.exited;
    daemon.stranger.close();
    await start();
    assert.equal(await marks(path), 1);
  };

  before(async () => {
    await start();
    scratch.onEnd(() => daemon.stop());
  });

  const refusals: [string, string, string, Message][] = [
    ['ResizeImage', 'parallels', '8M', { size: '16M' }],
    ['ResizeImage', 'vmdk', '8M', { size: '16M' }],
    ['CreateSnapshot', 'vdi', '8M', { name: 'one' }],
    ['DeleteSnapshot', 'qcow2', '8M', { name: 'none' }],
    ['RebaseImage', 'qcow2', '8M', { backing_file: 'none', backing_format: 'raw' }],
    ['ResizeImage', 'parallels', '512M', { size: '1G' }],
  ];
  for (const [rpc, format, size, more] of refusals)
    it(`none after ${rpc} of ${format}, ${size}, that was refused`, async () => {
      const path = image('refused');
      await sh('qemu-img', 'create', '-q', '-f', format, path, size);
      if (size === '512M') await sh('qemu-io', '-f', format, '-c', 'write -P 7 0 3M', path);
      const before = await readFile(path);
      const backing = more['backing_file'] === undefined ? {} : { backing_file: image('none') };
      await failure(call(rpc, { path, format, ...more, ...backing }));
      assert.ok(before.equals(await readFile(path)));
      assert.equal(await marks(path), 0);
      await rm(path);
    });

  it('one after a failure in the middle of the change', async () => {
    await daemon.stop();
    await start('WipeImage:sync:IO_ERROR');
    const path = image('wiped.raw');
    await writeFile(path, noise(MIB));
    assert.equal((await failure(call('WipeImage', { path, mode: 'WIPE_MODE_ZERO' }))).reason, 'IO_ERROR');
    assert.equal(await marks(path), 1);
  });

  it('not on another file that got the inode number, whoever made it', async function () {
    const path = image('first');
    await interrupted(path);
    const { ino, birthtimeNs } = statSync(path, { bigint: true });
    needs(this, birthtimeNs !== 0n, 'a filesystem that keeps times of birth');
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', image('plain'), '1M');
    unlinkSync(path);
    const makers: ((name: string) => Promise<unknown>)[] = [
      (name) => copyFile(image('plain'), name),
      (name) => sh('qemu-img', 'create', '-q', '-f', 'qcow2', name, '1M'),
      (name) => call('CreateImage', { path: name, format: 'qcow2', size: '1M' }),
    ];
    let reused = 0;
    for (const [kind, make] of makers.entries())
      for (let n = 0; n < 20; n++) {
        const name = image(`new-${String(kind)}-${String(n)}`);
        await make(name);
        if (statSync(name, { bigint: true }).ino !== ino) continue;
        reused += 1;
        assert.equal(await marks(name), 0, name);
        // Free for the next one.
        unlinkSync(name);
        break;
      }
    needs(this, reused > 0, 'a filesystem that uses inode numbers again');
  });

  it('on the same file under another name, and by a second one', async () => {
    await interrupted(image('one'));
    await rename(image('one'), image('two'));
    linkSync(image('two'), image('three'));
    assert.deepEqual([await marks(image('two')), await marks(image('three'))], [1, 1]);
    await call('ResizeImage', { path: image('three'), format: 'qcow2', size: '16M' });
    assert.deepEqual([await marks(image('two')), await marks(image('three'))], [0, 0]);
  });

  it('not after it was overwritten, or removed and made again under the same name', async () => {
    const path = image('again');
    await interrupted(path);
    await call('CreateImage', { path, format: 'qcow2', size: '1M', overwrite: true });
    assert.equal(await marks(path), 0);
    await interrupted(image('gone'));
    await call('DeleteImage', { path: image('gone') });
    await call('CreateImage', { path: image('gone'), format: 'qcow2', size: '1M' });
    assert.equal(await marks(image('gone')), 0);
  });
});
