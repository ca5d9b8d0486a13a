/**
 * What RPCs promise that name no path, and those that fetch: each reason by the request that fails
 * with it.
 */
import assert from 'node:assert/strict';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { Daemon, suiteDaemon } from '../../support/daemon.js';
import { FaultServer, type Faults } from '../../support/servers/fault-server.js';
import { promises } from '../../support/reasons/promised.js';
import { fakeTools } from '../../support/reasons/tools.js';
import { callByName } from '../../support/reasons/work.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { CallError, failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const NO_OPERATION = '01J00000000000000000000000';
const NO_ENTRY = `${'0'.repeat(24)}-${'0'.repeat(26)}`;
const NO_BASE = `rbd:none/${'0'.repeat(32)}`;
const AMOUNT = String(1 << 30);
/** How a call ends. */
const reasonOf = (work: Promise<unknown>) =>
  work.then(
    () => 'succeeded',
    (error: unknown) => (error instanceof CallError ? error.reason : String(error)),
  );
/** More folders below each other than a change of owners follows. */
const DEEPEST = 4200;
const OWNERS: Readonly<Record<string, Message>> = {
  Chown: { owner: '12345', recursive: true },
  ChownForIdMaps: { uid_maps: [{ start: 0, target: 100_000, count: 1000 }] },
};

describe('what an RPC promises of its own', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, () => ({
    toml: `[fetch]\nattempts = 1\nallowed_hosts = ["127.0.0.1"]\nstall_seconds = 1\n[cache]\npath = "${scratch.path('daemon/images/cache')}"\n`,
  }));
  const call = (rpc: string, request: Message) => callByName(daemon.get().stranger, rpc, request);

  const rows: readonly (readonly [reason: string, rpc: string, request: Message])[] = [
    ['INVALID_FIELD', 'GetArchitecture', { image_architecture: 'none such' }],
    ['INVALID_FIELD', 'PickDiskDriverName', { virt_type: 'none such' }],
    ['INVALID_FIELD', 'GetInstancePath', {}],
    ['INVALID_FIELD', 'GetInstancePathAtDestination', {}],
    ['INVALID_FIELD', 'IsMounted', {}],
    ['INVALID_FIELD', 'FindRootDisk', {}],
    ['INVALID_FIELD', 'GetPoolInfo', {}],
    ['INVALID_FIELD', 'GetOperation', {}],
    ['INVALID_FIELD', 'ListOperations', { page_token: 'none such' }],
    ['INVALID_FIELD', 'WatchOperation', {}],
    ['INVALID_FIELD', 'WatchOperations', { filter: { states: [99] } }],
    ['INVALID_FIELD', 'CancelOperation', {}],
    ['INVALID_FIELD', 'CloseExport', {}],
    ['INVALID_FIELD', 'PrefetchImage', {}],
    ['INVALID_FIELD', 'ListCachedImages', { page_token: 'none such' }],
    ['INVALID_FIELD', 'PinCachedImage', {}],
    ['INVALID_FIELD', 'EvictCachedImages', { cache_ids: ['../x'] }],
    ['INVALID_FIELD', 'UploadImage', {}],
    ['UPLOAD_NOT_FOUND', 'UploadImage', { header: { upload_id: NO_OPERATION } }],
    ['OPERATION_NOT_FOUND', 'GetOperation', { operation_id: NO_OPERATION }],
    ['OPERATION_NOT_FOUND', 'WatchOperation', { operation_id: NO_OPERATION }],
    ['OPERATION_NOT_FOUND', 'CancelOperation', { operation_id: NO_OPERATION }],
    ['EXPORT_NOT_FOUND', 'CloseExport', { export_id: NO_OPERATION }],
    ['POOL_NOT_FOUND', 'GetPoolInfo', { pool: 'none' }],
    ['POOL_NOT_FOUND', 'ListCachedImages', { pool: 'none' }],
    ['POOL_NOT_FOUND', 'PinCachedImage', { cache_id: NO_BASE, pinned: true }],
    ['POOL_NOT_FOUND', 'EvictCachedImages', { cache_ids: [NO_BASE] }],
    ['IMAGE_NOT_FOUND', 'PinCachedImage', { cache_id: NO_ENTRY, pinned: true }],
    ['IMAGE_NOT_FOUND', 'EvictCachedImages', { cache_ids: [NO_ENTRY] }],
    ['ROOT_DISK_NOT_FOUND', 'FindRootDisk', { domain_xml: '<domain type="kvm"/>' }],
  ];
  for (const [reason, rpc, request] of rows)
    it(`${rpc}: ${reason}`, async () => {
      const error = await failure(call(rpc, request));
      assert.equal(error.reason, reason, error.message);
    });

  it('CreateOverlay, ResizeImage: UNSUPPORTED_BY_BACKEND, by the words of qemu-img', async () => {
    const path = (name: string) => daemon.get().image(name);
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', path('base'), '1M');
    await sh('qemu-img', 'create', '-q', '-f', 'raw', path('disk'), '1M');
    const base = { backing_file: path('base'), backing_format: 'qcow2' };
    const calls: readonly (readonly [string, Message])[] = [
      ['CreateOverlay', { path: path('huge'), ...base, cluster_size_bytes: '512', size: '32T' }],
      ['ResizeImage', { path: path('disk'), format: 'raw', size: '2M', preallocation: 'PREALLOCATION_METADATA' }],
    ];
    for (const [rpc, request] of calls) {
      const { reason, message } = await failure(call(rpc, request));
      assert.equal(reason, 'UNSUPPORTED_BY_BACKEND', `${rpc}: ${message}`);
    }
    assert.deepEqual(await daemon.get().leftovers(), []);
    // What the request says by itself is no matter of the tool.
    const small = { path: path('small'), cluster_size_bytes: '4096', extended_l2: true };
    const converted = { source: path('disk'), source_format: 'raw', target: path('qed'), target_format: 'qed' };
    for (const [rpc, request] of [
      ['CreateOverlay', { ...small, ...base }],
      ['CreateImage', { ...small, format: 'qcow2', size: '1M' }],
      ['ConvertImage', { ...converted, cluster_size_bytes: '2048' }],
    ] as const)
      assert.equal((await failure(call(rpc, request))).reason, 'INVALID_FIELD', rpc);
  });

  describe('of sources', () => {
    let web: FaultServer;
    const contents = new Map<string, Buffer>();
    before(async () => {
      web = await FaultServer.start();
      scratch.onEnd(() => web.close());
      await sh('qemu-img', 'create', '-q', '-f', 'qcow2', scratch.path('good'), '1M');
      await sh(
        'qemu-img',
        'create',
        '-q',
        '-f',
        'qcow2',
        '-o',
        `data_file=${scratch.path('x')}`,
        scratch.path('unsafe'),
        '1M',
      );
      await sh('qemu-img', 'create', '-q', '-f', 'vmdk', scratch.path('other'), '1M');
      for (const name of ['good', 'unsafe', 'other']) contents.set(name, await readFile(scratch.path(name)));
      const broken = Buffer.from(contents.get('good') ?? '');
      // The size of its clusters.
      broken.writeUInt32BE(63, 20);
      contents.set('broken', broken);
    });

    interface Source {
      readonly content?: string;
      readonly faults?: Faults;
      readonly more?: Message;
      readonly url?: string;
    }
    const sources: Readonly<Record<string, Source>> = {
      SOURCE_UNAVAILABLE: { faults: { status: { code: 503, times: 99 } } },
      SOURCE_NOT_FOUND: { faults: { status: { code: 404, times: 99 } } },
      SOURCE_REFUSED: { faults: { authorization: 'Bearer other' } },
      SOURCE_WITHOUT_LENGTH: { faults: { noEnd: true } },
      STALLED: { faults: { stopAfter: { bytes: 512, times: 99 } } },
      SOURCE_FORBIDDEN: { url: 'http://denied.example/x' },
      CHECKSUM_MISMATCH: { more: { checksum: { algorithm: 'sha256', digest: '0'.repeat(64) } } },
      IMAGE_TOO_LARGE: { more: { max_size_bytes: '512' } },
      FORMAT_MISMATCH: { content: 'other' },
      IMAGE_MALFORMED: { content: 'broken' },
      IMAGE_UNSAFE: { content: 'unsafe' },
    };
    const formats: Readonly<Record<string, Message>> = {
      FetchImage: { source_format: 'qcow2', target_format: 'raw' },
      FetchRawImage: {},
      PrefetchImage: { source_format: 'qcow2' },
    };
    let count = 0;
    for (const [reason, { content = 'good', faults, more, url }] of Object.entries(sources))
      for (const { rpc } of promises().filter((each) => each.rpc in formats && each.reasons?.includes(reason)))
        it(`${rpc}: ${reason}`, async () => {
          const name = `${rpc}-${reason}`;
          const from = url ?? web.add(name, contents.get(content) ?? Buffer.alloc(0), faults);
          const target = rpc === 'PrefetchImage' ? {} : { target: daemon.get().image(`made-${String(count++)}`) };
          const request = {
            source: { http: { url: from } },
            max_size_bytes: AMOUNT,
            ...target,
            ...formats[rpc],
            ...more,
          };
          const error = await failure(call(rpc, request));
          assert.equal(error.reason, reason, error.message);
        });
  });

  describe('of files', () => {
    it('Chown, ChownForIdMaps: UNSUPPORTED_BY_BACKEND', async () => {
      const path = daemon.get().image('deep');
      // Deeper than a path can be long: nobody but rm takes it away.
      const folders = `const fs = require('fs'); for (let n = 0; n < ${String(DEEPEST)}; n++) { fs.mkdirSync('d'); process.chdir('d'); }`;
      await mkdir(path);
      await sh('sh', '-c', 'cd "$0" && exec "$1" -e "$2"', path, process.execPath, folders);
      scratch.onEnd(() => sh('rm', '-rf', path));
      for (const [rpc, more] of Object.entries(OWNERS)) {
        const error = await failure(call(rpc, { path, ...more }));
        assert.equal(error.reason, 'UNSUPPORTED_BY_BACKEND', error.message);
      }
    });

    it('CommitImage: UNSUPPORTED_BY_BACKEND', async () => {
      const [base, link, path] = ['base', 'link', 'overlay'].map((name) => daemon.get().image(name));
      assert.ok(base !== undefined && link !== undefined && path !== undefined);
      await sh('qemu-img', 'create', '-q', '-f', 'qcow2', base, '1M');
      await symlink(base, link);
      await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', link, '-F', 'qcow2', path);
      const error = await failure(call('CommitImage', { path, format: 'qcow2', safe_copy: true }));
      assert.equal(error.reason, 'UNSUPPORTED_BY_BACKEND', error.message);
    });

    it('OpenExport: UNSUPPORTED_BY_BACKEND, where [exports] is not configured', async () => {
      const path = daemon.get().image('not exported');
      await writeFile(path, 'x');
      const error = await failure(call('OpenExport', { path, peer: 'agent-b' }));
      assert.equal(error.reason, 'UNSUPPORTED_BY_BACKEND', error.message);
    });

    it('PinCachedImage: REQUEST_ID_REUSED', async () => {
      await sh('qemu-img', 'create', '-q', '-f', 'qcow2', scratch.path('pinned'), '1M');
      const web = await FaultServer.start();
      scratch.onEnd(() => web.close());
      const source = { http: { url: web.add('pinned', await readFile(scratch.path('pinned'))) } };
      const fetched = await daemon.get().stranger.operation('ImageService/PrefetchImage', { source });
      const id = { cache_id: (fetched['fetch'] as Message)['cache_id'], request_id: 'pinned' };
      await call('PinCachedImage', { ...id, pinned: true });
      const error = await failure(call('PinCachedImage', { ...id, pinned: false }));
      assert.equal(error.reason, 'REQUEST_ID_REUSED', error.message);
    });
  });

  describe('of disks that cannot punch holes', () => {
    let PATH = '';
    before(async () => {
      // As util-linux says it of such a filesystem.
      const words = 'fallocate: fallocate failed: Operation not supported';
      PATH = await fakeTools(scratch.path('tools'), { fallocate: `echo "${words}" >&2\nexit 1` });
    });
    it('WipeImage: UNSUPPORTED_BY_BACKEND', async () => {
      const other = await Daemon.start(scratch.path('punchless'), { env: { PATH } });
      scratch.onEnd(() => other.stop());
      await writeFile(other.image('raw'), 'x');
      const request = { path: other.image('raw'), mode: 'WIPE_MODE_DISCARD' };
      const error = await failure(callByName(other.stranger, 'WipeImage', request));
      assert.equal(error.reason, 'UNSUPPORTED_BY_BACKEND', error.message);
    });
  });

  describe('of limits of one caller', () => {
    let other: Daemon;
    before(async () => {
      const toml = '[limits]\ncalls_per_caller = 1\n';
      other = await Daemon.start(scratch.path('limited'), { toml });
      scratch.onEnd(() => other.stop());
    });

    it('every RPC: TOO_MANY_CALLS', async () => {
      const open = other.stranger.stream('OperationService/WatchOperations');
      const ended = new Promise((resolve) => open.on('error', resolve));
      await until(async () => (await reasonOf(callByName(other.stranger, 'GetHostInfo', {}))) === 'TOO_MANY_CALLS');
      open.cancel();
      await ended;
    });
  });

  describe('of watches', () => {
    it('watches end with the daemon: SHUTTING_DOWN', async () => {
      const path = daemon.get().image('');
      const begun = { WatchFilesystem: { path }, WatchOperations: {} };
      const rpcs = { WatchFilesystem: 'HostInfoService', WatchOperations: 'OperationService' };
      const ended = Object.entries(begun).map(
        ([name, request]) =>
          new Promise<string>((resolve) => {
            const stream = daemon.get().stranger.stream(`${rpcs[name as keyof typeof rpcs]}/${name}`, request);
            stream.resume().on('error', (error) => resolve(`${name}: ${new CallError(error as never).reason}`));
            stream.on('end', () => resolve(`${name}: ended`));
          }),
      );
      await daemon.get().stranger.unary('HostInfoService/GetHostInfo');
      daemon.get().process.kill('SIGTERM');
      assert.deepEqual(await Promise.all(ended), ['WatchFilesystem: SHUTTING_DOWN', 'WatchOperations: SHUTTING_DOWN']);
    });
  });
});
