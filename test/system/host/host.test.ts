/** HostInfoService on the real host. */
import assert from 'node:assert/strict';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { mkdir, statfs, writeFile } from 'node:fs/promises';
import { machine } from 'node:os';
import { HOSTLER, suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { needsMounts } from '../../support/needs.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const UUID = 'c39ceb94-27df-4d3c-8e5a-b5ee4a0a9f3b';

describe('HostInfoService', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, () => {
    // There when the daemon first looks what images may grow by.
    mkdirSync(scratch.path('daemon/images'), { recursive: true });
    writeFileSync(scratch.path('daemon/images/sparse.raw'), '');
    truncateSync(scratch.path('daemon/images/sparse.raw'), 1 << 30);
    return {
      env: { PATH: `${scratch.path('tools')}:${process.env['PATH'] ?? ''}` },
      top: `instances_path = "${scratch.path('instances')}"\niscsi_initiator_file = "${scratch.path('initiator')}"\n`,
    };
  });
  before(() => mkdir(scratch.path('tools'), { recursive: true }));
  const call = (rpc: string, request: Message = {}) => daemon.get().stranger.unary(`HostInfoService/${rpc}`, request);
  const filesystem = async (path: string) => (await call('GetFilesystemInfo', { path }))['filesystem'] as Message;

  it('parity row 17: space of the filesystem that holds a file, a folder, a root', async () => {
    await writeFile(daemon.get().image('file'), 'x');
    await mkdir(daemon.get().image('folder'));
    const { bsize, blocks } = await statfs(daemon.get().image('file'));
    for (const name of ['file', 'folder', '']) {
      const info = await filesystem(daemon.get().image(name).replace(/\/$/, ''));
      assert.equal(info['total_bytes'], String(bsize * blocks));
      assert.ok(Number(info['free_bytes']) > 0 && Number(info['used_bytes']) > 0 && Number(info['total_inodes']) > 0);
      const [point, device, type] = (
        await sh('findmnt', '-n', '-o', 'TARGET,SOURCE,FSTYPE', '--target', daemon.get().image('file'))
      )
        .trim()
        .split(/\s+/);
      assert.deepEqual([info['mount_point'], info['filesystem_type']], [point, type]);
      assert.equal(info['device'], device?.replace(/\[.*$/, ''));
    }
    assert.equal((await failure(filesystem(daemon.get().image('missing')))).reason, 'FILE_NOT_FOUND');
    assert.equal((await failure(filesystem('/etc'))).reason, 'PATH_OUTSIDE_ROOTS');
    assert.equal((await failure(filesystem('relative'))).reason, 'INVALID_FIELD');
  });

  it('what images may still grow by', async () => {
    let figure: unknown;
    await until(async () => {
      figure = (await filesystem(daemon.get().image('sparse.raw')))['overcommitted_bytes'];
      return figure !== undefined;
    });
    assert.equal(figure, String(1 << 30));
  });

  it('what an operation has reserved is shown, and is gone with it', async () => {
    const { stranger } = daemon.get();
    await writeFile(daemon.get().image('disk.raw'), noise(32 << 20));
    const reserved = async () => Number((await filesystem(daemon.get().image('disk.raw')))['reserved_bytes'] ?? 0);
    assert.equal(await reserved(), 0);
    const stream = stranger.stream('ImageService/CopyImage', {
      source: daemon.get().image('disk.raw'),
      target: daemon.get().image('copy.raw'),
      engine: 'COPY_ENGINE_LOCAL_SPARSE',
      bandwidth_bytes_per_second: String(4 << 20),
      labels: { reserved: '1' },
    });
    stream.on('data', () => undefined);
    const ended = new Promise((resolve) => stream.once('error', resolve));
    await until(async () => (await reserved()) >= 8 << 20);
    await stranger.unary('OperationService/CancelOperation', { labels: { reserved: '1' } });
    await ended;
    assert.equal(await reserved(), 0);
  });

  it("parity row 13: the host's own architecture, an image's, an unknown one", async () => {
    assert.equal((await call('GetArchitecture'))['architecture'], machine());
    assert.equal((await call('GetArchitecture', { image_architecture: 'AMD64' }))['architecture'], 'x86_64');
    assert.equal((await failure(call('GetArchitecture', { image_architecture: 'pdp11' }))).reason, 'INVALID_FIELD');
  });

  it('parity rows 18 and 19: folders of instances', async () => {
    await mkdir(scratch.path('instances', 'old-name'), { recursive: true });
    const path = async (rpc: string, request: Message) => (await call(rpc, request))['path'];
    assert.equal(
      await path('GetInstancePath', { instance: { uuid: UUID, name: 'new-name' } }),
      scratch.path('instances', UUID),
    );
    assert.equal(
      await path('GetInstancePath', { instance: { uuid: UUID, name: 'old-name' } }),
      scratch.path('instances', 'old-name'),
    );
    assert.equal(
      await path('GetInstancePathAtDestination', {
        instance: { uuid: UUID },
        migrate_data: { instance_relative_path: 'there' },
      }),
      scratch.path('instances', 'there'),
    );
    assert.equal((await failure(call('GetInstancePath', {}))).reason, 'INVALID_FIELD');
  });

  it('parity row 20: no file, a file, a file that cannot be read', async () => {
    assert.equal((await call('GetIscsiInitiator'))['configured'], undefined);
    await writeFile(scratch.path('initiator'), 'InitiatorName=iqn.2026-11.org.example:host\n');
    assert.deepEqual(await call('GetIscsiInitiator'), {
      configured: true,
      initiator_name: 'iqn.2026-11.org.example:host',
    });
  });

  it('parity row 21: mount points, with spaces, stacked, by source', async function () {
    needsMounts(this);
    const point = scratch.path('a mount point');
    await mkdir(point);
    assert.equal((await call('IsMounted', { mount_path: point }))['mounted'], undefined);
    for (const source of ['first', 'second']) {
      await sh('mount', '-t', 'tmpfs', source, point);
      scratch.onEnd(() => sh('umount', point));
    }
    const answer = await call('IsMounted', { mount_path: `${point}/`, source: 'second' });
    assert.deepEqual(answer, { mounted: true, source: 'second', filesystem_type: 'tmpfs' });
    assert.equal((await call('IsMounted', { mount_path: point, source: 'first' }))['mounted'], undefined);
    assert.equal((await failure(call('IsMounted', { mount_path: 'a' }))).reason, 'INVALID_FIELD');
  });

  it('parity row 22: names of hosts', async () => {
    assert.deepEqual(await call('ValidateHostname', { hostname: '10.0.2.1' }), {
      valid: true,
      kind: 'HOSTNAME_KIND_IPV4',
    });
    assert.equal((await call('ValidateHostname', { hostname: 'foo/?com=/bin/sh' }))['valid'], undefined);
  });

  it('parity row 25: disk drivers, with tools that are there, fail, or hang about', async () => {
    const driver = async (request: Message) => (await call('PickDiskDriverName', request))['driver_name'];
    assert.equal(await driver({ virt_type: 'kvm' }), 'qemu');
    assert.equal(await driver({ virt_type: 'lxc' }), undefined);
    const xen = { virt_type: 'xen', hypervisor_version: 4002000 };
    assert.equal(await driver({ ...xen, is_block_device: true }), 'phy');
    assert.equal(await driver(xen), 'qemu');
    const program = (name: string, body: string) =>
      writeFile(scratch.path('tools', name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
    await program('xend', '[ "$1" = status ]');
    assert.equal(await driver(xen), 'file');
    await program('tap-ctl', '[ "$1" = check ] && echo ok');
    assert.equal(await driver(xen), 'tap2');
    assert.equal(await driver({ ...xen, hypervisor_version: 4000000 }), 'tap');
    await program('tap-ctl', 'echo ok; exit 1');
    assert.equal(await driver(xen), 'file');
    assert.equal((await failure(driver({ virt_type: 'vmware' }))).reason, 'INVALID_FIELD');
    assert.equal((await failure(driver({ virt_type: 'xen' }))).reason, 'INVALID_FIELD');
  });

  it('a tool that does not say its version in time has none in GetHostInfo, and says it later', async () => {
    const program = (body: string) => writeFile(scratch.path('tools/ceph'), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
    const ceph = async () =>
      ((await call('GetHostInfo'))['tools'] as Message[]).find(({ name }) => name === 'ceph') ?? {};
    await program('exec sleep 600');
    let found: Message = {};
    await until(async () => (found = await ceph())['path'] !== undefined);
    assert.deepEqual([found['path'], found['version']], [scratch.path('tools/ceph'), undefined]);
    await program('echo ceph version 16');
    await until(async () => (await ceph())['version'] === 'ceph version 16');
  });

  it('parity row 16: types of disks, by path and by content', async () => {
    const detect = async (path: string) => {
      const { disk_type: type, basis } = await daemon.get().stranger.unary('ImageService/DetectDiskType', { path });
      return `${String(type)} ${String(basis).replace('DETECTION_BASIS_', '')}`;
    };
    assert.equal(await detect('/dev/nova-vg/hello'), 'lvm PATH');
    assert.equal(await detect('rbd:pool/image'), 'rbd PATH');
    await mkdir(daemon.get().image('ploop'));
    assert.equal((await failure(detect(daemon.get().image('ploop')))).reason, 'NOT_A_FILE');
    await writeFile(daemon.get().image('ploop/DiskDescriptor.xml'), '<x/>');
    assert.equal(await detect(daemon.get().image('ploop')), 'ploop PATH');
    for (const format of ['qcow2', 'raw', 'vmdk', 'vhdx']) {
      await sh('qemu-img', 'create', '-q', '-f', format, daemon.get().image(`disk.${format}`), '1M');
      assert.equal(await detect(daemon.get().image(`disk.${format}`)), `${format} CONTENT`);
    }
    assert.equal((await failure(detect('/developer/x'))).reason, 'PATH_OUTSIDE_ROOTS');
    assert.equal((await failure(detect(daemon.get().image('missing')))).reason, 'IMAGE_NOT_FOUND');
    assert.equal((await failure(detect(''))).reason, 'INVALID_FIELD');
  });

  it('the client, for people and for programs', async () => {
    const run = async (...args: string[]) =>
      (await tryRun(HOSTLER, ['--address', daemon.get().address, ...args])).stdout;
    assert.match(await run('host', 'fs', daemon.get().image('file')), /total +[\d.]+ .*\n(?:.*\n)*mount point +\//);
    assert.equal(await run('host', 'arch', 'arm64'), 'aarch64\n');
    assert.equal((JSON.parse(await run('--json', 'host', 'check-name', 'a.b')) as Message)['valid'], true);
    assert.equal(await run('host', 'instance-path', UUID), `${scratch.path('instances', UUID)}\n`);
    assert.equal(
      await run('host', 'instance-path-at-destination', UUID, 'given'),
      `${scratch.path('instances', 'given')}\n`,
    );
    assert.match(await run('host', 'mounted', '/proc'), /^yes/);
    assert.match(await run('host', 'initiator'), /iqn/);
  });
});
