/** HostInfoService on the real host. */
import assert from 'node:assert/strict';
import { mkdir, statfs, writeFile } from 'node:fs/promises';
import { machine } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { HOSTLER, suiteDaemon } from '../support/daemon.js';
import { noise } from '../support/disks.js';
import { isRoot, needs } from '../support/needs.js';
import { scratchFolder } from '../support/scratch.js';
import { sh, tryRun } from '../support/shell.js';
import { failure, type Message } from '../support/stranger.js';

const UUID = 'c39ceb94-27df-4d3c-8e5a-b5ee4a0a9f3b';

describe('HostInfoService', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, () => ({
    top: `instances_path = "${scratch.path('instances')}"\niscsi_initiator_file = "${scratch.path('initiator')}"\n`,
  }));
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
      assert.deepEqual([info['mount_point'], info['type']], [point, type]);
      assert.equal(info['device'], device?.replace(/\[.*$/, ''));
    }
    assert.equal((await failure(filesystem(daemon.get().image('missing')))).reason, 'FILE_NOT_FOUND');
    assert.equal((await failure(filesystem('/etc'))).reason, 'PATH_OUTSIDE_ROOTS');
    assert.equal((await failure(filesystem('relative'))).reason, 'INVALID_FIELD');
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
    for (let tries = 0; (await reserved()) < 8 << 20; tries++) {
      assert.ok(tries < 100, 'nothing was reserved');
      await sleep(20);
    }
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
    needs(this, isRoot, 'needs root to mount');
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

  it('the client, for people and for programs', async () => {
    const run = async (...args: string[]) =>
      (await tryRun(HOSTLER, ['--address', daemon.get().address, ...args])).stdout;
    assert.match(await run('host', 'fs', daemon.get().image('file')), /total +[\d.]+ .*\n(?:.*\n)*mount point +\//);
    assert.equal(await run('host', 'arch', 'arm64'), 'aarch64\n');
    assert.equal((JSON.parse(await run('--json', 'host', 'check-name', 'a.b')) as Message)['valid'], true);
    assert.equal(await run('host', 'instance-path', UUID), `${scratch.path('instances', UUID)}\n`);
    assert.match(await run('host', 'mounted', '/proc'), /^yes/);
    assert.match(await run('host', 'initiator'), /iqn/);
  });
});
