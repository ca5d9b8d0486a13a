/** Images in which nothing is yet: which of them the daemon writes without a tool. */
import assert from 'node:assert/strict';
import { mkdir, readFile, stat } from 'node:fs/promises';
import { suiteDaemon } from '../../support/daemon.js';
import { installed, needs, needsMounts } from '../../support/needs.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import type { Message } from '../../support/stranger.js';

const GIB = 1 << 30;

describe('empty images', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, { toml: '[log]\nlevel = "debug"\n' });
  const image = (name: string) => daemon.get().image(name);
  const run = (rpc: string, request: Message) => daemon.get().stranger.operation(`ImageService/${rpc}`, request);
  /** What the operation that makes it has the daemon write into its log, beside steps. */
  const toolsOf = async (rpc: string, request: Message): Promise<number> => {
    const before = daemon.get().log.length;
    await run(rpc, request);
    await daemon.get().logged(/"state":"SUCCEEDED"/, before);
    return daemon.get().log.slice(before).split('"tool":"qemu-img"').length - 1;
  };

  it('raw and qcow2 need no tool, others do', async () => {
    assert.equal(await toolsOf('CreateImage', { path: image('a.raw'), format: 'raw', size: '1G' }), 0);
    assert.equal(await toolsOf('CreateImage', { path: image('a.qcow2'), format: 'qcow2', size: '1G' }), 0);
    const overlay = { path: image('over.qcow2'), backing_file: image('a.qcow2'), backing_format: 'qcow2' };
    assert.equal(await toolsOf('CreateOverlay', overlay), 0);
    assert.notEqual(await toolsOf('CreateImage', { path: image('a.vmdk'), format: 'vmdk', size: '1G' }), 0);
    const request = { path: image('b.qcow2'), format: 'qcow2', size: '1G', preallocation: 'PREALLOCATION_METADATA' };
    assert.notEqual(await toolsOf('CreateImage', request), 0);
  });

  it('have the bytes of qemu-img create, and less of the disk', async () => {
    const theirs = scratch.path('theirs.qcow2');
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', theirs, '20G');
    await run('CreateImage', { path: image('new.qcow2'), format: 'qcow2', size: '20G' });
    assert.ok((await readFile(theirs)).equals(await readFile(image('new.qcow2'))));
    assert.ok((await stat(image('new.qcow2'))).blocks < (await stat(theirs)).blocks);
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', image('new.qcow2'), theirs);
    const overlay = { path: image('new-over.qcow2'), backing_file: image('new.qcow2'), backing_format: 'qcow2' };
    await run('CreateOverlay', overlay);
    assert.ok((await readFile(theirs)).equals(await readFile(image('new-over.qcow2'))));
  });

  it('a raw one has its length and no content', async () => {
    await run('CreateImage', { path: image('long.raw'), format: 'raw', size: '8G' });
    const { size, blocks } = await stat(image('long.raw'));
    assert.deepEqual({ size, blocks }, { size: 8 * GIB, blocks: 0 });
  });

  it('takes the place of a file that is larger', async () => {
    const request = { path: image('replaced.qcow2'), format: 'qcow2', size: '1M' };
    await run('CreateImage', { ...request, format: 'raw', size: '1G' });
    await run('CreateImage', { ...request, overwrite: true });
    await sh('qemu-img', 'check', '-q', '-f', 'qcow2', image('replaced.qcow2'));
    assert.equal((await stat(image('replaced.qcow2'))).size, 196_616);
  });

  it('on XFS grow in pieces as large as those of qemu-img', async function () {
    needsMounts(this);
    needs(this, installed('mkfs.xfs') && installed('xfs_io'), 'mkfs.xfs or xfs_io is not installed');
    await sh('truncate', '-s', '400M', scratch.path('xfs.disk'));
    await sh('mkfs.xfs', '-q', scratch.path('xfs.disk'));
    await mkdir(image('xfs'));
    await sh('mount', '-o', 'loop', scratch.path('xfs.disk'), image('xfs'));
    try {
      const [ours, theirs] = [image('xfs/ours.qcow2'), image('xfs/theirs.qcow2')];
      await run('CreateImage', { path: ours, format: 'qcow2', size: '1G' });
      await sh('qemu-img', 'create', '-q', '-f', 'qcow2', theirs, '1G');
      const hint = async (path: string) => /\[(\d+)\]/.exec(await sh('xfs_io', '-r', '-c', 'extsize', path))?.[1];
      assert.equal(await hint(theirs), String(1 << 20));
      assert.equal(await hint(ours), await hint(theirs));
    } finally {
      await sh('umount', image('xfs'));
    }
  });
});
