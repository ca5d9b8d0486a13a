/**
 * Filesystems come and go under roots: what is written lies where its path leads, or is not
 * written.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { Daemon } from '../support/daemon.js';
import { FaultFilesystem } from '../support/faults/fault-filesystem.js';
import { installed, isRoot, needs } from '../support/needs.js';
import { scratchFolder, type Scratch } from '../support/scratch.js';
import { sh, tryRun } from '../support/shell.js';
import { failure, type Message } from '../support/stranger.js';
import { until } from '../support/until.js';

/** An empty filesystem in `disk.img`, mounted at `disk`. */
async function mountNewDisk(context: Mocha.Context, scratch: Scratch): Promise<void> {
  needs(context, isRoot && installed('mkfs.ext4'), 'needs root and mkfs.ext4');
  await writeFile(scratch.path('disk.img'), '');
  await truncate(scratch.path('disk.img'), 32 << 20);
  await sh('mkfs.ext4', '-q', '-F', scratch.path('disk.img'));
  await mkdir(scratch.path('disk'));
  const mounted = await tryRun('mount', ['-o', 'loop', scratch.path('disk.img'), scratch.path('disk')]);
  needs(context, mounted.code === 0, `no loop device can be mounted: ${mounted.stderr.trim()}`);
  scratch.onEnd(() => tryRun('umount', ['-l', scratch.path('disk')]));
}

describe('a root under which filesystems come and go', () => {
  const scratch = scratchFolder();
  let daemon: Daemon;
  const at = (name: string) => scratch.path('disk/root', name);
  const create = (name: string, format = 'qcow2') =>
    daemon.stranger.operation('ImageService/CreateImage', { path: at(name), format, size: '1M' });
  const write = (name: string) =>
    daemon.stranger.send('FileService/WriteFile', [{ header: { path: at(name) } }, { data: Buffer.from('x') }]);
  const exists = async (name: string) =>
    (await daemon.stranger.unary('FileService/StatFile', { path: at(name) }))['exists'] === true;
  const mountDisk = () => sh('mount', '-o', 'loop', scratch.path('disk.img'), scratch.path('disk'));

  before(async function () {
    await mountNewDisk(this, scratch);
    await mkdir(at('folder'), { recursive: true });
    await writeFile(at('there'), 'x');
    daemon = await Daemon.start(scratch.path('daemon'), {
      roots: `[[roots]]\npath = "${scratch.path('disk/root')}"\n`,
    });
    scratch.onEnd(() => daemon.stop());
  });

  it('is followed onto what is mounted over it, for calls of every kind', async () => {
    await create('before');
    await sh('mount', '-t', 'tmpfs', 'none', scratch.path('disk/root'));
    try {
      await writeFile(at('seen'), 'x');
      await write('written');
      await create('made');
      assert.deepEqual([await exists('seen'), await exists('there')], [true, false]);
      assert.deepEqual((await readdir(at(''))).sort(), ['made', 'seen', 'written']);
      // What lies beneath cannot be asked whether it is backed by it.
      const removal = { path: at('made'), allow_dependants: true };
      await daemon.stranger.operation('ImageService/DeleteImage', removal);
      assert.match(daemon.log, /another filesystem is mounted at a root/);
    } finally {
      await sh('umount', '-l', scratch.path('disk/root'));
    }
    assert.deepEqual((await readdir(at(''))).sort(), ['before', 'folder', 'there']);
  });

  it('is refused while its filesystem is away, and works again by itself when that is back', async () => {
    // The mount over it has gone: what lies beneath is not what was served last.
    assert.equal((await failure(create('beneath'))).reason, 'ROOT_UNAVAILABLE');
    await sh('mount', '--bind', scratch.path('disk/root'), scratch.path('disk/root'));
    await create('bound');
    await sh('umount', '-l', scratch.path('disk/root'));
    await daemon.stop();
    daemon = await Daemon.start(scratch.path('daemon'), {
      roots: `[[roots]]\npath = "${scratch.path('disk/root')}"\n`,
    });
    await create('again');

    await sh('umount', '-l', scratch.path('disk'));
    await mkdir(scratch.path('disk/root'));
    for (const call of [create, write, exists]) assert.equal((await failure(call('away'))).reason, 'ROOT_UNAVAILABLE');
    assert.deepEqual(await readdir(scratch.path('disk/root')), []);
    await rm(scratch.path('disk/root'), { recursive: true });
    await mountDisk();
    await create('back');
    assert.equal(await exists('there'), true);
  });

  it('gives no name in a folder over which something was mounted while it worked', async () => {
    const upload = daemon.stranger.upload('FileService/WriteFile');
    upload.stream.write({ header: { path: at('folder/hidden') } });
    upload.stream.write({ data: Buffer.from('x') });
    await until(async () => (await readdir(at('folder'))).some((name) => name.startsWith('.hostler-')));
    await sh('mount', '-t', 'tmpfs', 'none', at('folder'));
    try {
      upload.stream.end();
      assert.equal((await failure(upload.answer)).reason, 'ROOT_UNAVAILABLE');
    } finally {
      await sh('umount', '-l', at('folder'));
    }
    assert.deepEqual(await readdir(at('folder')), []);
    await write('folder/hidden');
  });
});

describe('a folder over which something is mounted before an image in it is changed', () => {
  const scratch = scratchFolder();
  let daemon: Daemon;
  const at = (name: string) => scratch.path('daemon/images/folder', name);
  const VERBS = ['ResizeImage', 'CommitImage', 'CreateSnapshot', 'WipeImage', 'WriteFile'];

  before(async function () {
    needs(this, isRoot, 'mounts a filesystem');
    await mkdir(at('.'), { recursive: true });
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', at('image'), '1M');
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', at('image'), '-F', 'qcow2', at('overlay'));
    const points = VERBS.map((rpc) => `"${rpc}:started:pause"`).join(', ');
    daemon = await Daemon.start(scratch.path('daemon'), { toml: `[debug]\nfailpoints = [${points}]\n` });
    scratch.onEnd(() => daemon.stop());
  });

  const image = (rpc: string, name: string, request: Message = {}) =>
    daemon.stranger.operation(`ImageService/${rpc}`, { path: at(name), format: 'qcow2', ...request });
  const calls: Readonly<Record<string, () => Promise<unknown>>> = {
    ResizeImage: () => image('ResizeImage', 'overlay', { size: '2M' }),
    CommitImage: () => image('CommitImage', 'overlay'),
    CreateSnapshot: () => image('CreateSnapshot', 'overlay', { snapshot: 'one' }),
    WipeImage: () => image('WipeImage', 'overlay', { mode: 'WIPE_MODE_ZERO' }),
    WriteFile: () =>
      daemon.stranger.send('FileService/WriteFile', [
        { header: { path: at('overlay'), offset: '0' } },
        { data: Buffer.from('x') },
      ]),
  };
  for (const rpc of VERBS)
    it(`${rpc} writes nothing beneath it`, async () => {
      const before = await Promise.all(['image', 'overlay'].map((name) => readFile(at(name))));
      const from = daemon.log.length;
      const call = failure(calls[rpc]?.() ?? Promise.resolve());
      await daemon.logged(/"paused"/, from);
      await sh('mount', '-t', 'tmpfs', 'none', at('.'));
      try {
        daemon.process.kill('SIGUSR2');
        const { reason } = await call;
        // A tool that looks at it first, in its sandbox, finds something else there.
        assert.ok(['ROOT_UNAVAILABLE', 'SOURCE_CHANGED'].includes(reason), reason);
      } finally {
        await sh('umount', '-l', at('.'));
      }
      const after = await Promise.all(['image', 'overlay'].map((name) => readFile(at(name))));
      assert.ok(before.every((bytes, index) => bytes.equals(after[index] ?? Buffer.alloc(0))));
    });
});

describe('a root whose filesystem is not mounted when the daemon starts', () => {
  const scratch = scratchFolder();
  const disk = (name = '.') => scratch.path('disk', name);
  const base = () => scratch.path('daemon/images/base');
  const start = () => {
    const roots = [scratch.path('daemon/images'), disk()].map((path) => `[[roots]]\npath = "${path}"\n`).join('');
    return Daemon.start(scratch.path('daemon'), { roots });
  };
  const remove = (daemon: Daemon) => daemon.stranger.operation('ImageService/DeleteImage', { path: base() });
  const mountDisk = () => sh('mount', '--bind', scratch.path('kept'), disk());

  before(async function () {
    needs(this, isRoot, 'mounts a folder');
    for (const name of ['kept', 'disk', 'daemon/images']) await mkdir(scratch.path(name), { recursive: true });
    scratch.onEnd(() => tryRun('umount', ['-l', disk()]));
    await mountDisk();
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', base(), '1M');
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', base(), '-F', 'qcow2', disk('overlay'));
    const daemon = await start();
    assert.equal((await failure(remove(daemon))).reason, 'IMAGE_HAS_DEPENDANTS');
    await daemon.stop();
    await sh('umount', disk());
  });

  it('is not taken for empty, start after start, until it is mounted', async () => {
    for (const round of [1, 2]) {
      const daemon = await start();
      const error = await failure(remove(daemon));
      assert.deepEqual([error.reason, existsSync(base())], ['DEPENDANTS_UNKNOWN', true], String(round));
      assert.match(error.message, /nothing is mounted at .*\/disk/);
      assert.match(daemon.log, /the filesystem of a root is not mounted/);
      if (round === 2) {
        await mountDisk();
        await until(async () => (await failure(remove(daemon))).reason === 'IMAGE_HAS_DEPENDANTS');
        await sh('umount', '-l', disk());
      }
      await daemon.stop();
    }
  });

  it('is what it is now when whoever runs the daemon says so', async () => {
    await rm(scratch.path('daemon/state/root-mounts'));
    const daemon = await start();
    await remove(daemon);
    await daemon.stop();
  });
});

describe('a dead mount below a root', () => {
  const scratch = scratchFolder();
  const image = (name: string) => scratch.path('daemon/images', name);
  /** As a daemon before leaves them; the agent's id is known after its first start. */
  const leave = async (agent: string, folder: string) => {
    const name = `${folder}/.hostler-${agent}-01JZZZZZZZZZZZZZZZZZZZZZZZ`;
    await mkdir(name, { recursive: true });
    await writeFile(`${name}/part`, 'x');
    return name;
  };

  it('ends neither the sweep of what lies beside it nor that of other roots', async function () {
    const roots = ['daemon/images', 'other'].map((path) => `[[roots]]\npath = "${scratch.path(path)}"\n`).join('');
    await mkdir(scratch.path('other'));
    const first = await Daemon.start(scratch.path('daemon'), { roots });
    await first.stop();
    const agent = /"agent":"([0-9a-f]+)"/.exec(first.log)?.[1] ?? '';
    const dead = await FaultFilesystem.mount(this, scratch, image('dead'));
    const left = [
      await leave(agent, image('a')),
      await leave(agent, image('z/below')),
      await leave(agent, scratch.path('other')),
    ];
    await dead.die();
    const daemon = await Daemon.start(scratch.path('daemon'), { roots });
    scratch.onEnd(() => daemon.stop());
    await until(() => left.every((name) => !existsSync(name)));
    assert.match(daemon.log, /a place cannot be swept now.*images\/dead/);
    await daemon.stranger.operation('ImageService/CreateImage', { path: image('new'), format: 'raw', size: '1M' });
  });
});

describe('an operation whose disk is away when the daemon starts again', () => {
  const scratch = scratchFolder();
  const at = (name: string) => scratch.path('disk', name);
  const options = (failpoint?: string) => ({
    roots: `[[roots]]\npath = "${scratch.path('disk')}"\n`,
    toml: failpoint === undefined ? '' : `[debug]\nfailpoints = ["${failpoint}"]\n`,
  });
  const mountDisk = () => sh('mount', '-o', 'loop', scratch.path('disk.img'), scratch.path('disk'));

  before(async function () {
    await mountNewDisk(this, scratch);
  });

  const cases = [
    ['CreateImage', 'published', 'OPERATION_STATE_SUCCEEDED', { size: '1M', format: 'raw' }],
    ['CreateImage', 'publish', 'OPERATION_STATE_FAILED', { size: '1M', format: 'raw' }],
    ['DeleteImage', 'published', 'OPERATION_STATE_SUCCEEDED', {}],
    ['DeleteImage', 'publish', 'OPERATION_STATE_FAILED', {}],
  ] as const;
  for (const [index, [rpc, step, end, request]] of cases.entries())
    it(`${rpc}, killed at ${step}: undecided, and then ${end.slice('OPERATION_STATE_'.length)}`, async () => {
      const [folder, path] = [scratch.path(`daemon-${String(index)}`), at(`image-${String(index)}`)];
      if (rpc === 'DeleteImage') await writeFile(path, 'x');
      const first = await Daemon.start(folder, options(`${rpc}:${step}:kill`));
      await assert.rejects(first.stranger.all(`ImageService/${rpc}`, { path, ...request }));
      await first.exited;
      first.stranger.close();
      await sh('umount', scratch.path('disk'));
      const second = await Daemon.start(folder, options());
      try {
        const operation = async () =>
          (
            (await second.stranger.unary('OperationService/ListOperations')) as {
              operations: { last: { state: string } }[];
            }
          ).operations[0]?.last.state;
        assert.equal(await operation(), 'OPERATION_STATE_RUNNING');
        assert.match(second.log, /the outcome of an operation is unknown/);
        await mountDisk();
        await until(async () => (await operation()) !== 'OPERATION_STATE_RUNNING');
        assert.equal(await operation(), end);
        assert.deepEqual(
          (await readdir(scratch.path('disk'))).filter((name) => name.startsWith('.hostler-')),
          [],
        );
      } finally {
        await second.stop();
      }
    });
});
