/**
 * The daemon's own files under a daemon: at the start one line and exit code 1; while it runs
 * others go on, and it mends itself.
 */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Daemon, HOSTLERD, type DaemonOptions } from '../../support/daemon.js';
import { FaultFilesystem, type Fault } from '../../support/faults/fault-filesystem.js';
import { Pki } from '../../support/hosts/pki.js';
import { scratchFolder } from '../../support/scratch.js';
import { tryRun } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

describe("the daemon's own files", () => {
  const scratch = scratchFolder();
  let disk: FaultFilesystem;
  const own = (name: string) => join(disk.path, name);
  const folder = () => scratch.path('daemon');
  const options = (more: DaemonOptions = {}): DaemonOptions => ({
    stateFolder: own('state'),
    toml: [
      `[tls]\nca = "${own('ca.pem')}"\ncert = "${own('host.pem')}"\nkey = "${own('host.key')}"`,
      `[audit]\nmode = "require"\nfile = "${own('audit')}"`,
      `[cache]\npath = "${own('cache')}"\n`,
    ].join('\n'),
    ...more,
  });
  const create = (daemon: Daemon, name: string, more: Message = {}) =>
    daemon.stranger.operation('ImageService/CreateImage', {
      ...{ path: daemon.image(name), format: 'raw', size: '1M' },
      ...more,
    });

  before(async function () {
    disk = await FaultFilesystem.mount(this, scratch, scratch.path('disk'));
    const pki = await Pki.init(scratch.path('pki'));
    await pki.issue('agent', 'host', { dns: ['host'] });
    for (const name of ['ca.pem', 'host.pem', 'host.key']) await copyFile(pki.path(name), join(disk.behind, name));
  });
  afterEach(() => disk.heal());

  /** What it says as it refuses to start. */
  async function refused(more: DaemonOptions = {}): Promise<string> {
    const daemon = await Daemon.spawn(folder(), options(more));
    assert.equal(await daemon.exited, 1, daemon.log);
    daemon.stranger.close();
    const lines = daemon.log.trim().split('\n');
    const said = lines.filter((line) => !line.startsWith('{'));
    assert.equal(said.length, 1, daemon.log);
    assert.match(said[0] ?? '', /^hostlerd: /);
    assert.doesNotMatch(said[0] ?? '', /Error:|\bat .*:\d+:\d+/);
    return said[0] ?? '';
  }

  it('at the start: one line that names the file and what to do; the next start has everything', async () => {
    const first = await Daemon.start(folder(), options());
    await create(first, 'a', { request_id: 'r' });
    await first.stop();
    const agent = await readFile(join(disk.behind, 'state/agent-id'), 'utf8');
    const all = (kinds: Fault['kinds'], errno: NonNullable<Fault['errno']>, match: string): Fault => ({
      ...{ kinds, errno, match, times: 0 },
    });
    const faults: readonly (readonly [Fault, RegExp])[] = [
      [all(['open'], 'EACCES', '/state/lock'), /state folder \(state_dir\).*\/state\/lock: permission denied.*user in/],
      [all(['open'], 'ENOTDIR', '/state/agent-id'), /\/state\/agent-id: not a folder/],
      [all(['read'], 'EIO', '/state/agent-id'), /state folder.*input\/output error \(EIO\); .*log of the kernel/],
      [all(['open'], 'EROFS', '/audit'), /audit log \(audit.file\).*\/audit: read-only.*mount it for writing/],
      [all(['open'], 'EMFILE', '/host.key'), /\/host\.key cannot be read: too many open files.*LimitNOFILE/],
      [all(['readdir'], 'ESTALE', '/cache'), /cache folder \(cache.path\).*\/cache: stale.*mount/],
    ];
    for (const [fault, says] of faults) {
      await disk.fail(fault);
      assert.match(await refused(), says);
      await disk.heal();
    }
    await writeFile(scratch.path('file'), '');
    const listen = [`unix://${scratch.path('file/s.sock')}`];
    assert.match(await refused({ listen }), /socket \(server\.listen\).*\/file: something is there already/);
    assert.match(await refused({ roots: '[[roots]]\npath = "/none"\n' }), /root \/none.*no such file.*make it/);
    const server = createServer().listen(0, '127.0.0.1');
    await until(() => server.address() !== null);
    const { port } = server.address() as AddressInfo;
    const http = `127.0.0.1:${String(port)}`;
    assert.match(await refused({ http }), /\(server\.http\): address in use.*stop who listens there/);
    server.close();
    const again = await Daemon.start(folder(), options());
    await create(again, 'a', { request_id: 'r' });
    await again.stop();
    assert.equal(await readFile(join(disk.behind, 'state/agent-id'), 'utf8'), agent);
  });

  it('a configuration that cannot be read: one line', async () => {
    for (const [path, says] of [
      [scratch.path('none.toml'), /none\.toml: no such file or folder \(ENOENT\); make it, or name another place/],
      [scratch.path(), /it is a folder \(EISDIR\)/],
    ] as const) {
      const { code, stderr } = await tryRun(HOSTLERD, ['--config', path]);
      assert.deepEqual([code, stderr.trim().split('\n').length], [1, 1], stderr);
      assert.match(stderr, says);
    }
  });

  it('while it runs: what needs the file is refused with a reason or goes on with what was read, and later all is well', async () => {
    const daemon = await Daemon.start(folder(), options());
    scratch.onEnd(() => daemon.stop());
    for (const errno of ['EIO', 'ENOSPC', 'EROFS', 'EACCES', 122] as const) {
      await disk.fail({ kinds: ['write', 'open'], errno, match: '/audit', times: 0 });
      assert.equal((await failure(create(daemon, 'b'))).reason, 'AUDIT_FAILED');
      await daemon.stranger.unary('FileService/StatFile', { path: daemon.image('a') });
      await disk.heal();
    }
    await create(daemon, 'b');
    for (const errno of ['EACCES', 'EIO', 'EMFILE'] as const) {
      const from = daemon.log.length;
      await disk.fail({ kinds: ['open'], errno, match: '/host.key', times: 0 });
      daemon.process.kill('SIGHUP');
      await daemon.logged(/certificates could not be read again: the old ones stay/, from);
      await disk.heal();
      daemon.process.kill('SIGHUP');
      await daemon.logged(/certificates were read again/, from);
    }
    // The folders are open: what lies at their paths is not asked for again.
    await rm(join(disk.behind, 'state/lock'));
    await mkdir(join(disk.behind, 'state/lock'));
    await create(daemon, 'c');
    await rm(join(disk.behind, 'state/lock'), { recursive: true });
  });
});
