/**
 * More calls into a file server that does not answer than the daemon has threads: they end, and
 * everything else goes on.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { Daemon } from '../support/daemon.js';
import { noise } from '../support/images/disks.js';
import { FaultFilesystem, type Fault } from '../support/faults/fault-filesystem.js';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';
import { failure, type Message } from '../support/stranger.js';
import { until } from '../support/until.js';

/** Its pool has 16 threads. */
const CALLS = 24;
const ROOTS = 4;
const SUFFIXES = Array.from({ length: CALLS }, (_, n) => String(n));

interface Case {
  readonly name: string;
  readonly hangs: Fault;
  readonly call: (n: number) => Promise<unknown>;
}

const works = (call: () => Promise<unknown>) =>
  call().then(
    () => true,
    () => false,
  );

describe('a file server that does not answer more calls than there are threads', () => {
  const scratch = scratchFolder();
  let server: FaultFilesystem;
  let other: FaultFilesystem;
  let daemon: Daemon;
  const root = (n: number) => `${server.path}/root${String(n % ROOTS)}`;
  const host = (rpc: string, request: Message) => daemon.stranger.unary(`HostInfoService/${rpc}`, request);
  const info = (path: string, format = 'raw') => daemon.stranger.unary('ImageService/GetImageInfo', { path, format });
  const instance = (n: number) => ({ uuid: '12345678-1234-1234-1234-123456789abc', name: `vm${String(n)}` });

  const write = (path: string, header: Message) =>
    daemon.stranger.send('FileService/WriteFile', [{ header: { path, ...header } }, { data: noise(1 << 20) }]);
  const upload = async (target: string) => {
    const data = noise(1 << 20);
    const checksum = { algorithm: 'sha256', digest: createHash('sha256').update(data).digest('hex') };
    const request = { target, format: 'raw', length_bytes: String(data.length), checksum };
    const { upload_id } = await daemon.stranger.unary('ImageService/StartUpload', request);
    return daemon.stranger.send('ImageService/UploadImage', [{ header: { upload_id, offset: '0' } }, { data }]);
  };

  before(async function () {
    server = await FaultFilesystem.mount(this, scratch, scratch.path('server'));
    other = await FaultFilesystem.mount(this, scratch, scratch.path('other'));
    for (let n = 0; n < ROOTS; n++) await mkdir(`${server.behind}/root${String(n)}`);
    for (const n of SUFFIXES)
      await writeFile(`${server.behind}/root${String(Number(n) % ROOTS)}/disk${n}`, noise(4096));
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', `${server.behind}/qcow2`, '64M');
    for (const n of SUFFIXES)
      await copyFile(`${server.behind}/qcow2`, `${server.behind}/root${String(Number(n) % ROOTS)}/qcow2-${n}`);
    await mkdir(`${server.behind}/vms`);
    await writeFile(`${server.behind}/initiator`, 'InitiatorName=iqn.2026-01.org.example:a\n');
    await writeFile(`${other.behind}/disk`, noise(4096));
    const folder = scratch.path('daemon');
    const roots = [`${folder}/images`, other.path, ...Array.from({ length: ROOTS }, (_, n) => root(n))];
    daemon = await Daemon.start(folder, {
      top: `instances_path = "${server.path}/vms"\niscsi_initiator_file = "${server.path}/initiator"\n`,
      toml: '[limits]\nroot_patience_ms = 300\n',
      roots: roots.map((path) => `[[roots]]\npath = "${path}"\n`).join(''),
    });
    await writeFile(daemon.image('near'), noise(4096));
    scratch.onEnd(() => daemon.stop());
  });
  afterEach(() => server.heal());

  const cases: readonly Case[] = [
    {
      name: 'images in four roots of one server',
      hangs: { kinds: ['getattr', 'open', 'read'], match: '/disk' },
      call: (n) => info(`${root(n)}/disk${String(n)}`),
    },
    {
      name: 'files in four roots of one server',
      hangs: { kinds: ['getattr', 'open', 'read'], match: '/disk' },
      call: (n) => daemon.stranger.all('FileService/ReadFile', { path: `${root(n)}/disk${String(n)}` }),
    },
    {
      name: 'the tables of images in four roots',
      hangs: { kinds: ['read'], match: '/qcow2-' },
      call: (n) => info(`${root(n)}/qcow2-${String(n)}`, 'qcow2'),
    },
    {
      name: 'new files in four roots',
      hangs: { kinds: ['write'], match: '/part' },
      call: (n) => write(`${root(n)}/new${String(n)}`, {}),
    },
    {
      name: 'files that are made durable',
      hangs: { kinds: ['fsync'], match: '/part' },
      call: (n) => write(`${root(n)}/new${String(n)}`, {}),
    },
    {
      name: 'files that are written into',
      hangs: { kinds: ['write'], match: '/disk' },
      call: (n) => write(`${root(n)}/disk${String(n)}`, { offset: '0' }),
    },
    {
      name: 'uploads',
      hangs: { kinds: ['write'], match: '/part' },
      call: (n) => upload(`${root(n)}/uploaded${String(n)}`),
    },
    {
      name: 'images that are digested',
      hangs: { kinds: ['open'], match: '/disk' },
      call: (n) => daemon.stranger.operation('ImageService/DigestImage', { path: `${root(n)}/disk${String(n)}` }),
    },
    {
      name: 'folders of instances',
      hangs: { kinds: ['getattr'], match: '/vms' },
      call: (n) => host('GetInstancePath', { instance: instance(n) }),
    },
    {
      name: 'folders of instances that come here',
      hangs: { kinds: ['getattr'], match: '/vms' },
      call: (n) => host('GetInstancePathAtDestination', { instance: instance(n) }),
    },
    {
      name: 'places that may be mount points',
      hangs: { kinds: ['getattr'], match: '/vms' },
      call: (n) => host('IsMounted', { mount_path: `${server.path}/vms/m${String(n)}` }),
    },
    {
      name: 'the name of the initiator',
      hangs: { kinds: ['getattr', 'open', 'read'], match: '/initiator' },
      call: () => host('GetIscsiInitiator', {}),
    },
  ];

  for (const { name, hangs, call } of cases)
    it(`${name}: each gets ROOT_STALLED, others go on, and it works when the server is back`, async () => {
      await server.fail({ ...hangs, hang: true, times: 0 });
      const calls = SUFFIXES.map((n) => failure(call(Number(n))));
      await until(async () => (await server.seen()).failed.length > 0);
      await othersGoOn('first');
      const reasons = (await Promise.all(calls)).map(({ reason }) => reason);
      assert.deepEqual([...new Set(reasons)], ['ROOT_STALLED']);
      await othersGoOn('second');
      await server.heal();
      await until(() => works(() => call(0)));
    });

  /** A root on this host and one on another server, the journal, and looks at paths elsewhere. */
  async function othersGoOn(label: string): Promise<void> {
    await info(daemon.image('near'));
    await until(() => works(() => info(`${other.path}/disk`)));
    // Whether something on that server is backed by it nobody can tell now.
    const made = { path: daemon.image('made'), overwrite: true, allow_dependants: true };
    await daemon.stranger.operation('ImageService/CreateImage', { ...made, format: 'raw', size: '1M' });
    await host('IsMounted', { mount_path: `${daemon.folder}/${label}` });
    await host('GetFilesystemInfo', { path: daemon.image('near') });
  }

  for (const [what, folder] of [
    ['a root', 'root0'],
    ['the folder of instances', 'vms'],
  ] as const)
    it(`a start that waits for ${what} says so, and goes on when it answers`, async () => {
      await server.fail({ kinds: ['getattr'], match: `/${folder}`, hang: true, times: 0 });
      const late = await Daemon.spawn(scratch.path(`late-${folder}`), {
        top: `instances_path = "${server.path}/vms"\n`,
        toml: '[limits]\nroot_patience_ms = 300\n',
        roots: ['root0', 'root1'].map((name) => `[[roots]]\npath = "${server.path}/${name}"\n`).join(''),
      });
      try {
        await until(() =>
          Promise.resolve(new RegExp(`the start waits.*${folder}|${folder}.*the start waits`).test(late.log)),
        );
        await server.heal();
        await late.serving();
      } finally {
        await server.heal();
        assert.equal(await late.stop(), 0);
      }
    });
});
