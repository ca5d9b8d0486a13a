/**
 * What RPCs promise of sources that change while they are read, that are untrusted, and that are
 * encrypted.
 */
import assert from 'node:assert/strict';
import { appendFile, copyFile, mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { Daemon, type DaemonOptions } from '../../support/daemon.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { promises } from '../../support/reasons/promised.js';
import { fakeTools, onlyTools } from '../../support/reasons/tools.js';
import { WORK, callByName, requestFor } from '../../support/reasons/work.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const MIB = 1 << 20;
const LUKS = [
  '--object',
  'secret,id=s,data=secret',
  '-o',
  'encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10',
];

describe('what an RPC promises of sources', () => {
  const scratch = scratchFolder();
  const good = (name: string) => scratch.path('good', name);
  const drop = (name: string) => scratch.path('drop', name);
  /** In no root. */
  const cache = () => `[cache]\npath = "${scratch.path('daemon/cache')}"\n`;
  let daemon: Daemon;
  let url = '';
  let made = 0;

  function daemonOf(options: () => Promise<DaemonOptions>): void {
    before(async () => {
      const roots = ['good', 'daemon/images', 'drop'].map(
        (name) => `[[roots]]\npath = "${scratch.path(name)}"\ntrusted = ${String(name !== 'drop')}\n`,
      );
      daemon = await Daemon.start(scratch.path('daemon'), { roots: roots.join(''), ...(await options()) });
    });
    after(() => daemon.stop());
  }
  const call = (rpc: string, reads: string, more: Message = {}) => {
    const makes = daemon.image(`made-${String(made++)}`);
    return callByName(daemon.stranger, rpc, requestFor(rpc, { reads, changes: reads, makes, other: reads }, more));
  };
  function each(reason: string, rpcs: readonly string[], work: (rpc: string) => Promise<unknown>): void {
    for (const rpc of rpcs)
      it(`${rpc}: ${reason}`, async () => {
        const error = await failure(work(rpc));
        assert.equal(error.reason, reason, error.message);
      });
  }
  const promising = (reason: string) =>
    promises()
      .filter(({ rpc, reasons }) => Object.hasOwn(WORK, rpc) && reasons?.includes(reason))
      .map(({ rpc }) => rpc);

  before(async () => {
    for (const name of ['good', 'drop']) await mkdir(scratch.path(name));
    await mkdir(scratch.path('daemon/images'), { recursive: true });
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', good('plain'), '2M');
    await copyFile(good('plain'), drop('plain'));
    const header = await readFile(good('plain'));
    const web = await FaultServer.start();
    scratch.onEnd(() => web.close());
    url = web.add('plain', Buffer.from(header));
    // The size of its clusters.
    header.writeUInt32BE(63, 20);
    await writeFile(drop('broken'), header);
    const onPlain = ['-b', good('plain'), '-F', 'qcow2'];
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', ...onPlain, drop('unsafe'), '2M');
  });

  describe('that change while they are read', () => {
    daemonOf(async () => {
      const [growing, shrinking] = [scratch.path('good/growing'), scratch.path('good/shrinking')];
      for (const folder of [growing, shrinking]) await mkdir(folder);
      const real = (await sh('sh', '-c', 'command -v qemu-img')).trim();
      // Somebody writes to the source whenever a tool looks at it.
      const change = `for file in ${growing}/*; do printf x >> "$file"; done; for file in ${shrinking}/*; do : > "$file"; done`;
      const PATH = await fakeTools(scratch.path('tools'), {
        'qemu-img': `${change} 2>/dev/null\nexec ${real} "$@"`,
        cp: 'exit 1',
      });
      return { env: { PATH }, toml: '[sandbox]\nmode = "off"\n' };
    });
    // ReadFile uses no tool; what CloseExport says is tested with exports.
    const rpcs = promising('SOURCE_CHANGED').filter((rpc) => !['ReadFile', 'PrefetchImage'].includes(rpc));
    each('SOURCE_CHANGED', rpcs, async (rpc) => {
      const folder = rpc === 'DownloadImage' ? 'shrinking' : 'growing';
      const source = good(`${folder}/${rpc}`);
      if (rpc === 'DownloadImage') await writeFile(source, Buffer.alloc(4 * MIB, 1));
      else await copyFile(good('plain'), source);
      return call(rpc, source);
    });
  });

  describe('that are copied', () => {
    daemonOf(() => Promise.resolve({ toml: '[debug]\nfailpoints = ["CopyImage:verify:pause"]\n' }));
    it('CopyImage: CHECKSUM_MISMATCH', async () => {
      const copying = failure(call('CopyImage', good('plain'), { verify: true }));
      await daemon.logged(/"method":"CopyImage".*"step":"verify"/);
      const [part = ''] = (await daemon.leftovers()).filter((name) => name.endsWith('/part'));
      await appendFile(daemon.image(part), 'x');
      daemon.process.kill('SIGUSR2');
      assert.equal((await copying).reason, 'CHECKSUM_MISMATCH');
    });
  });

  describe('that are changed in the cache before they are used', () => {
    before(needsSandbox);
    daemonOf(() => Promise.resolve({ toml: `${cache()}[debug]\nfailpoints = ["FillCache:enter:pause"]\n` }));
    it('PrefetchImage: SOURCE_CHANGED', async () => {
      const fetching = failure(call('PrefetchImage', '', { source: { http: { url } } }));
      await daemon.logged(/"method":"FillCache".*"step":"enter"/);
      const [entry = ''] = (await readdir(scratch.path('daemon/cache'))).filter((name) => !name.startsWith('.'));
      await appendFile(scratch.path('daemon/cache', entry), 'x');
      daemon.process.kill('SIGUSR2');
      const { reason, message } = await fetching;
      assert.equal(reason, 'SOURCE_CHANGED', message);
    });
  });

  describe('that are untrusted', () => {
    before(needsSandbox);
    daemonOf(() => Promise.resolve({ toml: `[limits.foreign]\nimage_bytes = ${String(MIB)}\n` }));
    before(async () => {
      await writeFile(drop('long'), Buffer.alloc(2 * MIB));
      await sh('truncate', '-s', '2M', drop('plain'));
    });
    each('IMAGE_MALFORMED', ['CopyImage'], (rpc) => call(rpc, drop('broken')));
    each('IMAGE_UNSAFE', ['CopyImage'], (rpc) => call(rpc, drop('unsafe')));
    each('IMAGE_TOO_LARGE', ['ConvertImage', 'ExtractSnapshot', 'CopyImage'], (rpc) => call(rpc, drop('plain')));
    each('IMAGE_TOO_LARGE', ['StartUpload'], (rpc) => call(rpc, '', { length_bytes: String(2 * MIB) }));
  });

  describe('that are untrusted, where there is no sandbox', () => {
    daemonOf(async () => {
      const PATH = await onlyTools(scratch.path('bare'), 'qemu-img');
      return { env: { PATH }, toml: cache() };
    });
    each('SANDBOX_UNAVAILABLE', ['ConvertImage', 'ExtractSnapshot', 'CopyImage'], (rpc) => call(rpc, drop('plain')));
    const others = promising('SANDBOX_UNAVAILABLE').filter((rpc) => /^Fetch|Upload/.test(rpc));
    each('SANDBOX_UNAVAILABLE', others, (rpc) => call(rpc, good('plain')));
    each('SANDBOX_UNAVAILABLE', ['PrefetchImage'], (rpc) => call(rpc, '', { source: { http: { url } } }));
  });

  describe('that no image can be backed by', () => {
    before(needsSandbox);
    daemonOf(() => Promise.resolve({ toml: cache() }));
    const overlay = { use_cache: true, overlay: true, target_format: 'qcow2' };
    each('UNSUPPORTED_BY_BACKEND', ['FetchImage'], (rpc) => call(rpc, '', { source: { http: { url } }, ...overlay }));
  });

  describe('that are encrypted', () => {
    daemonOf(() => Promise.resolve({}));
    before(async () => {
      const create = ['create', '-q', '-f', 'qcow2', ...LUKS];
      await sh('qemu-img', ...create, good('secret'), '1M');
      const opened = `driver=qcow2,encrypt.key-secret=s,file.filename=${good('secret')}`;
      await sh('qemu-img', 'snapshot', ...LUKS.slice(0, 2), '-c', 'one', '--image-opts', opened);
      await sh('qemu-img', ...create, '-b', good('plain'), '-F', 'qcow2', good('secret-overlay'), '1M');
    });
    const named = (rpc: string) => (/^(?:Rebase|Commit)/.test(rpc) ? 'secret-overlay' : 'secret');
    // PrefetchImage needs a cache and a server: cache.test.ts.
    const rpcs = promising('SECRET_REQUIRED').filter((rpc) => rpc !== 'PrefetchImage');
    each('SECRET_REQUIRED', rpcs, (rpc) => call(rpc, good(named(rpc))));
  });
});
