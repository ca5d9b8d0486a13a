/** Block devices as images: loop devices, as nodes and behind links as LVM makes them. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { Daemon } from '../../support/daemon.js';
import { blockDigest, noise, sparseFile } from '../../support/images/disks.js';
import { installed, isRoot, needs, needsMounts } from '../../support/needs.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const MIB = 1024 * 1024;
const SIZE = 16 * MIB;

describe('block devices', () => {
  const scratch = scratchFolder();
  let daemon: Daemon;
  /** The node of each link. */
  const nodes = new Map<string, string>();
  const at = (name: string) => scratch.path('daemon/vg0', name);
  const back = (name: string) => scratch.path('daemon', `${name}.back`);
  const file = (name: string) => daemon.image(name);
  const run = (rpc: string, request: Message) => daemon.stranger.operation(`ImageService/${rpc}`, request);
  const bytes = (name: string) => readFile(nodes.get(name) ?? '');

  async function loop(name: string, size = SIZE): Promise<void> {
    await writeFile(back(name), noise(size, name.length));
    const node = (await sh('losetup', '--find', '--show', back(name))).trim();
    scratch.onEnd(() => sh('losetup', '--detach', node));
    nodes.set(name, node);
    await symlink(node, at(name));
  }

  before(async function devices() {
    needs(this, isRoot && installed('losetup'), 'loop devices need root');
    mkdirSync(scratch.path('daemon/vg0'), { recursive: true });
    mkdirSync(scratch.path('daemon/images'), { recursive: true });
    const probe = await tryRun('losetup', ['--find']);
    needs(this, probe.code === 0, 'there are no loop devices here');
    for (const name of ['one', 'two']) await loop(name);
    await loop('small', MIB);
    const root = (path: string, kind: string) => `[[roots]]\npath = "${path}"\nkind = "${kind}"\n`;
    const roots = `${root(scratch.path('daemon/images'), 'files')}${root(scratch.path('daemon/vg0'), 'devices')}`;
    daemon = await Daemon.start(scratch.path('daemon'), { roots });
    scratch.onEnd(() => daemon.stop());
    await sparseFile(file('disk.raw'), 8 * MIB, [{ at: MIB, length: MIB }]);
  });

  it('what an image on a device is backed by stays, and so does a device that backs an image', async () => {
    const assertNeeded = async (rpc: string, request: Message, by: string) => {
      const { reason, metadata } = await failure(run(rpc, request));
      assert.deepEqual([reason, metadata['dependants']], ['IMAGE_HAS_DEPENDANTS', by]);
    };
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', file('base.qcow2'), '1M');
    await sh(
      'qemu-img',
      'create',
      '-q',
      '-f',
      'qcow2',
      '-F',
      'qcow2',
      '-b',
      file('base.qcow2'),
      nodes.get('two') ?? '',
    );
    await assertNeeded('DeleteImage', { path: file('base.qcow2') }, at('two'));
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', at('one'), file('over.qcow2'));
    const onto = { target: at('one'), target_format: 'raw', overwrite: true };
    await assertNeeded('ConvertImage', { source: file('disk.raw'), source_format: 'raw', ...onto }, file('over.qcow2'));
    await rm(file('over.qcow2'));
    await writeFile(nodes.get('two') ?? '', noise(SIZE, 3));
    await run('DeleteImage', { path: file('base.qcow2') });
  });

  it('GetImageInfo and MapImage say what a device is, by its own size', async () => {
    const { info } = (await daemon.stranger.unary('ImageService/GetImageInfo', { path: at('one'), format: 'raw' })) as {
      info: Message;
    };
    assert.equal(info['virtual_size_bytes'], String(SIZE));
    const pages = await daemon.stranger.all('ImageService/MapImage', { path: at('one'), format: 'raw' });
    const mapped = pages.flatMap(({ extents }) => extents as Message[]);
    assert.equal(
      mapped.reduce((sum, extent) => sum + Number(extent['length_bytes']), 0),
      SIZE,
    );
  });

  it('DigestImage reads it', async () => {
    const digest = (await run('DigestImage', { path: at('one') }))['digest'] as Message;
    assert.equal(JSON.stringify(digest).includes(blockDigest(await bytes('one'))), true, JSON.stringify(digest));
  });

  it('ConvertImage writes an image onto it, holes as zeros, and what lies behind stays', async () => {
    const before = await bytes('one');
    await sh('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', file('disk.raw'), file('disk.qcow2'));
    const request = { source: file('disk.qcow2'), source_format: 'qcow2', target: at('one'), target_format: 'raw' };
    await run('ConvertImage', request);
    const now = await bytes('one');
    assert.ok(now.subarray(0, 8 * MIB).equals(await readFile(file('disk.raw'))));
    assert.ok(now.subarray(8 * MIB).equals(before.subarray(8 * MIB)));
    assert.deepEqual(await daemon.leftovers(scratch.path('daemon/vg0')), []);
  });

  it('CopyImage copies from one to another and to a file, and verifies what it wrote', async () => {
    await run('CopyImage', { source: at('one'), target: at('two'), verify: true });
    assert.ok((await bytes('two')).equals(await bytes('one')));
    await run('CopyImage', { source: at('two'), target: file('from-device.raw'), verify: true });
    assert.ok((await readFile(file('from-device.raw'))).equals(await bytes('two')));
    await run('CopyImage', { source: file('disk.raw'), target: at('two'), verify: true });
    assert.ok((await bytes('two')).subarray(0, 8 * MIB).equals(await readFile(file('disk.raw'))));
  });

  it('WipeImage writes zeros, with progress, or gives the blocks back', async () => {
    const events = await daemon.stranger.all('ImageService/WipeImage', { path: at('two'), mode: 'WIPE_MODE_ZERO' });
    const last = events.filter(({ progress }) => progress !== undefined).at(-1)?.['progress'] as Message;
    assert.equal(last['done_bytes'], String(SIZE));
    assert.ok((await bytes('two')).every((byte) => byte === 0));
    await run('WipeImage', { path: at('one'), mode: 'WIPE_MODE_DISCARD' });
    assert.ok((await bytes('one')).every((byte) => byte === 0));
  });

  it('never grows past the device: an image that does not fit writes nothing', async () => {
    const before = await bytes('small');
    const request = { source: file('disk.raw'), source_format: 'raw', target: at('small'), target_format: 'raw' };
    const error = await failure(run('ConvertImage', request));
    assert.equal(error.reason, 'NO_SPACE');
    assert.deepEqual([error.metadata['needed'], error.metadata['free']], [String(8 * MIB), String(MIB)]);
    assert.ok((await bytes('small')).equals(before));
    const grow = await failure(run('ResizeImage', { path: at('small'), format: 'raw', size: '2M' }));
    assert.equal(grow.reason, 'UNSUPPORTED_BY_BACKEND');
  });

  it('a device that is mounted, or that qemu holds, is in use', async function () {
    needsMounts(this);
    await sh('mke2fs', '-q', '-F', nodes.get('small') ?? '');
    await mkdir(scratch.path('mounted'));
    await sh('mount', nodes.get('small') ?? '', scratch.path('mounted'));
    try {
      const request = { source: file('disk.raw'), source_format: 'raw', target: at('small'), target_format: 'raw' };
      assert.equal((await failure(run('ConvertImage', request))).reason, 'IMAGE_IN_USE');
      const wipe = { path: at('small'), mode: 'WIPE_MODE_DISCARD' };
      assert.equal((await failure(run('WipeImage', wipe))).reason, 'IMAGE_IN_USE');
    } finally {
      await sh('umount', scratch.path('mounted'));
    }
  });

  it('what is no device, leads elsewhere, or is not there', async () => {
    await writeFile(at('plain'), 'x');
    await symlink('/etc/hostname', at('out'));
    await symlink('/dev/null', at('character'));
    await symlink(file('disk.raw'), at('image'));
    const reasons: [string, string][] = [
      ['plain', 'NOT_A_FILE'],
      ['out', 'PATH_OUTSIDE_ROOTS'],
      ['character', 'NOT_A_FILE'],
      ['image', 'PATH_OUTSIDE_ROOTS'],
      ['missing', 'IMAGE_NOT_FOUND'],
    ];
    for (const [name, reason] of reasons) {
      const look = daemon.stranger.unary('ImageService/GetImageInfo', { path: at(name), format: 'raw' });
      assert.equal((await failure(look)).reason, reason, name);
      const request = { source: file('disk.raw'), source_format: 'raw', target: at(name), target_format: 'raw' };
      assert.equal((await failure(run('ConvertImage', request))).reason, reason, name);
    }
  });

  it('source and target are one device, also by another link; other formats, owners and removal are refused', async () => {
    await symlink(nodes.get('one') ?? '', at('again'));
    assert.equal((await failure(run('CopyImage', { source: at('one'), target: at('again') }))).reason, 'SAME_FILE');
    const qcow2 = { source: file('disk.raw'), source_format: 'raw', target: at('one'), target_format: 'qcow2' };
    assert.equal((await failure(run('ConvertImage', qcow2))).reason, 'UNSUPPORTED_BY_BACKEND');
    const owned = { ...qcow2, target_format: 'raw', attributes: { owner: 'root' } };
    assert.equal((await failure(run('ConvertImage', owned))).reason, 'UNSUPPORTED_BY_BACKEND');
    const create = { path: at('one'), format: 'raw', size: '1M' };
    assert.equal((await failure(run('CreateImage', create))).reason, 'UNSUPPORTED_BY_BACKEND');
    assert.equal((await failure(run('DeleteImage', { path: at('one') }))).reason, 'NOT_A_FILE');
  });
});
