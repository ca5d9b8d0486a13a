/**
 * What the comments of RPCs promise alike: for each RPC of the descriptors that promises one of
 * these reasons, the call that fails with it. An RPC that is new, or promises more, is here by
 * itself.
 */
import assert from 'node:assert/strict';
import { chmod, chown, copyFile, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { Daemon, type DaemonOptions } from '../../support/daemon.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { isRoot } from '../../support/needs.js';
import { promises } from '../../support/reasons/promised.js';
import { fakeTools, onlyTools } from '../../support/reasons/tools.js';
import { BY_TOOL, OF_FOLDERS, WORK, callByName, requestFor } from '../../support/reasons/work.js';
import { takesFormat, type Addresses } from '../../support/reasons/work.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { CallError, failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const NOBODY = 65534;
/** Of a qcow2 header: where the size of its clusters stands, and one that no cluster may have. */
const CLUSTER_BITS = 20;
const BAD_CLUSTER_BITS = 63;
/**
 * They look, and are no operations: none of their steps can be made to fail, and they wait in no
 * queue.
 */
const LOOKERS = ['ReadFile', 'DownloadImage', 'MapImage', 'MeasureImage'];
/** Of these, more are open at once than these tests begin. */
const LONG_OPEN = ['StartUpload', 'OpenExport'];
/** What they need is the right to write to the folder. */
const REMOVERS = ['DeleteFile', 'DeleteImage', 'RemoveDirectory'];
/** It looks only at what comes from an untrusted root. */
const COPY = ['CopyImage'];

/** They use other tools: for pools, those of the configuration, and for images that name others. */
const OTHER_TOOLS = ['DeleteImage', 'PinCachedImage', 'EvictCachedImages', 'Execute', 'MoveFile', 'ListImages'];

/** Strangers' images are worked on all the same. */
const NO_SANDBOX = '[sandbox]\nmode = "off"\n';
const COMMAND = '[[commands]]\nname = "true"\nexecutable = "/bin/true"\narguments = ["x"]\n';
/** The image that was there is lost, or a part of it. */
const LOSING = { overwrite: true, size: '1M', allow_shrink: true };

/** They take a format, and raw is one that they can work on, or is refused for another reason. */
const RAW_TOO = ['MeasureImage', 'CreateImage', 'ResizeImage', 'CommitImage'];
/** They work on files alone. */
const OF_NAMES = ['CreateDirectory', 'MoveFile', ...OF_FOLDERS, 'ListImages', 'WatchImages'];
const FILES_ONLY = ['StatFile', 'TouchFile', 'ReadFile', 'WriteFile', 'DownloadImage', ...OF_NAMES];
/** They open nothing: what can be looked at is all that they need. */
const LOOKED_AT = ['StatFile', 'ListImages', 'WatchImages', 'GetFilesystemInfo', 'WatchFilesystem'];
/** In these requests no path differs from call to call. */
const OTHERWISE: Readonly<Record<string, Message>> = {
  EvictCachedImages: { target_bytes: '1' },
  Execute: { args: ['x'] },
};
/** They name no path: only what is about no path is asked of them. */
const PATHLESS = ['Execute', 'PrefetchImage', 'EvictCachedImages', 'PinCachedImage', 'FindRootDisk'];
const OF_NO_PATH = [
  ...['REQUEST_ID_REUSED', 'TOO_MANY_OPERATIONS', 'NO_SPACE', 'TOOL_MISSING', 'TOOL_FAILED', 'DEPENDANTS_UNKNOWN'],
  ...['CANCELLED', 'SHUTTING_DOWN', 'AGENT_RESTARTED'],
];

/** RPCs that promise a reason, of those whose requests are known. */
function promising(reason: string, except: readonly string[] = []): string[] {
  return promises()
    .filter(({ rpc, reasons }) => Object.hasOwn(WORK, rpc) && reasons?.includes(reason))
    .map(({ rpc }) => rpc)
    .filter((rpc) => !except.includes(rpc) && (OF_NO_PATH.includes(reason) || !PATHLESS.includes(rpc)));
}

describe('what RPCs promise alike', () => {
  const scratch = scratchFolder();
  const image = (name: string) => scratch.path('daemon/images', name);
  const fixed = (name: string) => scratch.path('fixed', name);
  let daemon: Daemon;
  let web: FaultServer;
  let content: Buffer;
  let copies = 0;
  const url = (name: string) => web.add(name, content);

  const roots = (folder: string, access = 'read-write') =>
    [
      `[[roots]]\npath = "${scratch.path(folder, 'images')}"`,
      `[[roots]]\npath = "${scratch.path('fixed')}"\naccess = "${access}"\n`,
    ].join('\n');
  const start = async ({ toml = '', ...options }: DaemonOptions = {}, folder = 'daemon') => {
    const cache = `[cache]\npath = "${scratch.path(folder, 'images/cache')}"\n`;
    const exports = '[exports]\nhost = "agent.example"\naddress = "127.0.0.1"\n';
    daemon = await Daemon.start(scratch.path(folder), {
      roots: roots(folder),
      toml: toml + cache + exports + COMMAND,
      ...options,
    });
  };

  /** A daemon for a part of the suite. */
  function daemonOf(options: () => DaemonOptions, folder = 'daemon'): void {
    before(() => start(options(), folder));
    after(() => daemon.stop());
  }

  before(async () => {
    const create = (name: string, ...words: readonly string[]) =>
      sh('qemu-img', 'create', '-q', ...words, fixed(name), '8M');
    web = await FaultServer.start();
    scratch.onEnd(() => web.close());
    await mkdir(fixed('folder'), { recursive: true });
    await mkdir(image(''), { recursive: true });
    await create('plain.qcow2', '-f', 'qcow2');
    await copyFile(fixed('plain.qcow2'), fixed('good.qcow2'));
    await sh('qemu-img', 'snapshot', '-c', 'one', fixed('good.qcow2'));
    await writeFile(fixed('other.raw'), Buffer.alloc(1 << 20));
    await create('other.vmdk', '-f', 'vmdk');
    const onPlain = ['-b', fixed('plain.qcow2'), '-F', 'qcow2'];
    await create('overlay.qcow2', '-f', 'qcow2', ...onPlain);
    await create('unsafe.qcow2', '-f', 'qcow2', ...onPlain, '-o', `data_file=${fixed('data')}`);
    await create('looped.qcow2', '-f', 'qcow2');
    await sh('qemu-img', 'rebase', '-u', '-b', fixed('looped.qcow2'), '-F', 'qcow2', fixed('looped.qcow2'));
    await copyFile(fixed('good.qcow2'), fixed('based.qcow2'));
    await create('on-it.qcow2', '-f', 'qcow2', '-b', fixed('based.qcow2'), '-F', 'qcow2');
    content = await readFile(fixed('plain.qcow2'));
    const header = Buffer.from(content);
    header.writeUInt32BE(BAD_CLUSTER_BITS, CLUSTER_BITS);
    await writeFile(fixed('broken.qcow2'), header);
  });

  /** Good addresses of one call, with images of its own. */
  async function addresses(rpc: string): Promise<Addresses> {
    const number = String(copies++);
    const mine = image(`image-${number}.qcow2`);
    if (rpc === 'RebaseImage' || rpc === 'CommitImage') {
      await copyFile(fixed('plain.qcow2'), `${mine}.base`);
      await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', `${mine}.base`, '-F', 'qcow2', mine);
    } else if (OF_FOLDERS.includes(rpc)) await mkdir(mine);
    else await copyFile(fixed('good.qcow2'), mine);
    return { reads: mine, changes: mine, makes: image(`made-${number}`), other: fixed('other.raw') };
  }
  const call = async (rpc: string, spoilt: Partial<Addresses> = {}, more: Message = {}) => {
    const source = rpc === 'PrefetchImage' ? { source: { http: { url: url(String(copies)) } } } : {};
    const request = requestFor(rpc, { ...(await addresses(rpc)), ...spoilt }, { ...source, ...more });
    return callByName(daemon.stranger, rpc, request);
  };
  const on = (address: string) => ({ reads: address, changes: address });

  /** For every RPC that promises the reason, a call that fails with it. */
  function each(reason: string, spoilt: (rpc: string) => Promise<unknown>, except: readonly string[] = []): void {
    // Every RPC promises this one; each operation has a step that can fail so.
    for (const rpc of promising(reason === 'IO_ERROR' ? 'REQUEST_ID_REUSED' : reason, except))
      it(`${rpc}: ${reason}`, async () => {
        const error = await failure(spoilt(rpc));
        assert.equal(error.reason, reason, error.message);
      });
  }

  describe('of addresses and images', () => {
    daemonOf(() => ({}));
    each('PATH_OUTSIDE_ROOTS', (rpc) => call(rpc, { ...on('/etc/passwd'), makes: '/etc/new' }));
    each('IMAGE_NOT_FOUND', (rpc) => call(rpc, on(image('absent'))));
    each('FILE_NOT_FOUND', (rpc) => call(rpc, on(image('absent')), rpc === 'WriteFile' ? { offset: '0' } : {}));
    each('NOT_A_FILE', (rpc) => call(rpc, { ...on(fixed('folder')), makes: fixed('folder') }));
    each('FORMAT_MISMATCH', (rpc) => call(rpc, on(fixed('other.vmdk'))), COPY);
    each('IMAGE_MALFORMED', (rpc) => call(rpc, on(fixed('broken.qcow2'))), COPY);
    each(
      'IMAGE_UNSAFE',
      (rpc) =>
        rpc === 'GetImageInfo'
          ? call(rpc, on(fixed('looped.qcow2')), { backing_chain: true })
          : call(rpc, on(fixed('unsafe.qcow2'))),
      [...COPY, 'MoveFile'],
    );
    each(
      'UNSUPPORTED_BY_BACKEND',
      (rpc) =>
        FILES_ONLY.includes(rpc)
          ? call(rpc, { ...on('rbd:pool/image'), makes: 'rbd:pool/image' }, rpc === 'WriteFile' ? { offset: '0' } : {})
          : call(rpc, on(fixed('other.raw')), { format: 'raw' }),
      // What those cannot do that take no format of an image is tested with them.
      [
        ...[...RAW_TOO, 'ListImages'],
        ...promising('UNSUPPORTED_BY_BACKEND').filter((rpc) => !FILES_ONLY.includes(rpc) && !takesFormat(rpc)),
      ],
    );
    each('TARGET_EXISTS', (rpc) => call(rpc, { makes: fixed('other.raw') }));
    each('PARENT_NOT_FOUND', (rpc) => call(rpc, { makes: image('absent/new') }));
    each('SAME_FILE', async (rpc) => {
      const { reads } = await addresses(rpc);
      return call(rpc, { ...on(reads), makes: reads }, { overwrite: true });
    });
    each('INVALID_FIELD', (rpc) => call(rpc, { ...on('relative'), makes: 'relative' }));
    const changed = (rpc: string) => fixed(rpc === 'CommitImage' ? 'overlay.qcow2' : 'based.qcow2');
    each(
      'IMAGE_HAS_DEPENDANTS',
      (rpc) => call(rpc, { changes: changed(rpc), makes: fixed('based.qcow2') }, LOSING),
      OF_FOLDERS,
    );
    each(
      'REQUEST_ID_REUSED',
      async (rpc) => {
        const id = { request_id: `reused by ${rpc}` };
        await call(rpc, {}, id);
        return call(rpc, {}, { ...id, ...OTHERWISE[rpc] });
      },
      ['PinCachedImage'],
    );
  });

  describe('of a root that cannot be looked at', () => {
    before(() => mkdir(scratch.path('second')));
    daemonOf(() => ({ roots: `${roots('daemon')}[[roots]]\npath = "${scratch.path('second')}"\n` }));
    let cached = '';
    before(async () => {
      const fetched = JSON.stringify(await call('PrefetchImage'));
      cached = /"cache_id":"([^"]+)"/.exec(fetched)?.[1] ?? fetched;
      // As if its filesystem was unmounted: an empty folder is left.
      await rename(scratch.path('second'), scratch.path('away'));
      await mkdir(scratch.path('second'));
    });
    each('DEPENDANTS_UNKNOWN', async (rpc) =>
      rpc === 'EvictCachedImages'
        ? call(rpc, {}, { cache_ids: [cached] })
        : call(rpc, { makes: (await addresses(rpc)).reads }, LOSING),
    );
  });

  describe('of a root that is read-only', () => {
    daemonOf(() => ({ roots: roots('daemon', 'read-only') }));
    each('ROOT_READ_ONLY', (rpc) =>
      call(
        rpc,
        { ...on(fixed(rpc === 'CommitImage' ? 'overlay.qcow2' : 'good.qcow2')), makes: fixed('new') },
        rpc === 'CheckImage' ? { repair: 'REPAIR_MODE_ALL' } : {},
      ),
    );
  });

  for (const reason of ['NO_SPACE', 'IO_ERROR'])
    describe(`of a disk that answers ${reason}`, () => {
      daemonOf(() => ({ toml: `[debug]\nfailpoints = ["*:started:${reason}"]\n` }));
      each(reason, (rpc) => call(rpc), LOOKERS);
    });

  describe('of a user that may not', () => {
    const mine = (name: string) => scratch.path('other/images', name);
    before(async () => {
      await mkdir(mine('closed'), { recursive: true });
      if (!isRoot) return;
      for (const folder of [scratch.path('other'), mine(''), mine('closed')]) await chown(folder, NOBODY, NOBODY);
      await chmod(scratch.path(), 0o755);
    });
    const initiator = () => scratch.path('initiatorname.iscsi');
    before(() => writeFile(initiator(), 'InitiatorName=iqn.2016-04.com.example:host\n', { mode: 0 }));
    daemonOf(() => ({ ...(isRoot ? { uid: NOBODY } : {}), top: `iscsi_initiator_file = "${initiator()}"\n` }), 'other');
    it('GetIscsiInitiator: ACCESS_DENIED', async () => {
      const error = await failure(callByName(daemon.stranger, 'GetIscsiInitiator', {}));
      assert.equal(error.reason, 'ACCESS_DENIED', error.message);
    });
    after(() => chmod(mine('closed'), 0o755));
    each('ACCESS_DENIED', async (rpc) => {
      const [file, below] = [mine(`closed-${rpc}`), mine(`closed/file-${rpc}`)];
      await chmod(mine('closed'), 0o755);
      const make = (path: string) => (OF_FOLDERS.includes(rpc) ? mkdir(path) : copyFile(fixed('good.qcow2'), path));
      for (const path of [file, below]) await make(path);
      await chmod(file, 0);
      // A file can be looked at unless its folder cannot be entered.
      const looks = LOOKED_AT.includes(rpc);
      await chmod(mine('closed'), looks ? 0 : 0o555);
      return call(rpc, {
        reads: looks ? below : file,
        changes: REMOVERS.includes(rpc) ? below : file,
        makes: mine('closed/new'),
      });
    });
  });

  describe('of tools that are not there', () => {
    let PATH = '';
    before(async () => {
      PATH = await onlyTools(scratch.path('bare'));
    });
    daemonOf(() => ({ env: { PATH }, toml: NO_SANDBOX }));
    each('TOOL_MISSING', (rpc) => call(rpc, {}, BY_TOOL[rpc]), OTHER_TOOLS);
  });

  describe('of tools that fail', () => {
    let PATH = '';
    before(async () => {
      const names = ['qemu-img', 'qemu-io', 'qemu-nbd', 'fallocate', 'shred', 'blkdiscard', 'virsh', 'getent'];
      const bodies = Object.fromEntries(names.map((name) => [name, 'echo "it failed" >&2\nexit 1']));
      PATH = await fakeTools(scratch.path('tools'), bodies);
    });
    daemonOf(() => ({ env: { PATH }, toml: NO_SANDBOX }));
    each('TOOL_FAILED', (rpc) => call(rpc, {}, BY_TOOL[rpc]), OTHER_TOOLS);
  });

  /** Begins these and waits until they pause; what they work on. */
  async function begin(rpc: string): Promise<Addresses> {
    const mine = await addresses(rpc);
    daemon.stranger
      .stream(`ImageService/${rpc}`, requestFor(rpc, mine))
      .on('error', () => undefined)
      .resume();
    await daemon.logged(new RegExp(`"method":"${rpc}".*"step":"started"`));
    return mine;
  }
  const pausing = (...names: readonly string[]) =>
    `[debug]\nfailpoints = ${JSON.stringify(names.map((rpc) => `${rpc}:started:pause`))}\n`;
  const toResume = () => daemon.process.kill('SIGUSR2');

  describe('of a host that is busy', () => {
    const limits = '[limits]\nrunning_operations = 1\nrunning_short_operations = 1\nqueued_operations = 0\n';
    after(toResume);
    daemonOf(() => ({ toml: `${limits}${pausing('CopyImage', 'CreateImage')}` }));
    before(async () => {
      await begin('CopyImage');
      await begin('CreateImage');
    });
    each('TOO_MANY_OPERATIONS', (rpc) => call(rpc), [...LOOKERS, ...LONG_OPEN]);
  });

  describe('of an image that an operation works on', () => {
    after(toResume);
    daemonOf(() => ({ toml: pausing('RebaseImage', 'CreateImage') }));
    let [changed, made] = ['', ''];
    before(async () => {
      changed = (await begin('RebaseImage')).changes;
      made = (await begin('CreateImage')).makes;
    });
    each('PATH_BUSY', (rpc) => call(rpc, WORK[rpc]?.makes === undefined ? on(changed) : { makes: made }));
  });

  describe('of operations that are given up', () => {
    const limits = '[limits]\nrunning_operations = 100\nrunning_operations_per_filesystem = 100\n';
    const listed = async (...states: readonly string[]) => {
      const request = { page_size: 1000, filter: { states: states.map((state) => `OPERATION_STATE_${state}`) } };
      const answer = await daemon.stranger.unary('OperationService/ListOperations', request);
      return (answer['operations'] ?? []) as Message[];
    };

    /** A daemon in which all these are at work, and what each call comes to. */
    async function paused(names: readonly string[]): Promise<Promise<string[]>[]> {
      await start({
        toml: `${limits}[debug]\nfailpoints = ["*:started:pause"]\n`,
        server: 'drain_seconds = 0',
        // Some thirty operations begin in one turn.
        heldMs: 500,
      });
      const calls = names.map(async (rpc) => `${rpc}: ${await outcome(call(rpc))}`);
      const count = () => daemon.records().filter(({ message }) => message === 'paused').length;
      await until(() => count() === names.length);
      return [Promise.all(calls)];
    }
    const outcome = (work: Promise<unknown>) =>
      work.then(
        () => 'succeeded',
        (error: unknown) => (error instanceof CallError ? error.reason : String(error)),
      );
    // An upload that is stopped goes on in the tests that follow: transfers.test.ts has one.
    const work = (reason: string) =>
      promising(reason, reason === 'SHUTTING_DOWN' ? ['WatchFilesystem', 'StartUpload'] : []);
    const all = (reason: string) => work(reason).map((rpc) => `${rpc}: ${reason}`);

    it('by a cancel', async () => {
      const [ended] = await paused(work('CANCELLED'));
      const cancels = (await listed('RUNNING')).map(({ operation_id }) =>
        daemon.stranger.unary('OperationService/CancelOperation', { operation_id }),
      );
      await until(async () => (await listed('RUNNING')).length === 0);
      toResume();
      await Promise.all(cancels);
      assert.deepEqual(await ended, all('CANCELLED'));
      await daemon.stop();
    });

    it('by a daemon that stops', async () => {
      const [ended] = await paused(work('SHUTTING_DOWN'));
      daemon.process.kill('SIGTERM');
      await daemon.logged(/draining|stopping/i);
      toResume();
      assert.deepEqual(await ended, all('SHUTTING_DOWN'));
      await daemon.exited;
    });

    it('by a daemon that is killed', async () => {
      const names = work('AGENT_RESTARTED');
      const [ended] = await paused(names);
      const ids = new Set((await listed('RUNNING')).map(({ operation_id: id }) => id));
      daemon.process.kill('SIGKILL');
      await ended;
      await daemon.exited;
      await start();
      const mine = (await listed()).filter(({ operation_id: id }) => ids.has(id));
      for (const rpc of names) {
        const last = mine.find(({ method }) => method === rpc)?.['last'] as Message | undefined;
        assert.match(JSON.stringify(last?.['error']), /the daemon ended while/, rpc);
      }
      await daemon.stop();
    });
  });
});
