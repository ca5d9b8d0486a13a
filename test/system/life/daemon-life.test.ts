/** Start and stop: what an operator sees. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { runningAre } from '../../support/at-work.js';
import { Daemon, HOSTLER, HOSTLERD, ROOT_FOLDER } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { installed, needs } from '../../support/needs.js';
import { gone } from '../../support/processes.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun } from '../../support/shell.js';
import { Stranger, failure, type Message } from '../../support/stranger.js';

const DRAINS = /"STOPPING"/;
const LISTEN_FOR_DATAGRAMS = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("listening")
while True: print(s.recv(4096).decode())
`;
import { until } from '../../support/until.js';

describe('the daemon', () => {
  const scratch = scratchFolder();

  it('says SERVING once, with its addresses, and exits 0 after SIGTERM, leaving no socket', async () => {
    const daemon = await Daemon.start(scratch.path('life'), { server: 'drain_seconds = 1' });
    const lines = daemon.records().filter(({ message }) => message === 'SERVING');
    assert.deepEqual(
      lines.map(({ addresses }) => addresses),
      [[daemon.address]],
    );
    const { mode } = await stat(scratch.path('life/s.sock'));
    assert.equal(mode & 0o777, 0o660);
    assert.equal(await daemon.stop(), 0);
    assert.ok(!existsSync(scratch.path('life/s.sock')));
  });

  it('runs with a thread pool of its own size', async () => {
    const daemon = await Daemon.start(scratch.path('pool'));
    const environment = readFileSync(`/proc/${String(daemon.process.pid)}/environ`, 'utf8');
    assert.match(environment, /UV_THREADPOOL_SIZE=16/);
    await daemon.stop();
  });

  it('tells systemd when it is ready and when it stops (Type=notify)', async function () {
    needs(this, installed('systemd-notify'), 'systemd-notify is not installed');
    const socket = scratch.path(`notify-${String(process.hrtime.bigint())}.sock`);
    // Node has no unix datagram sockets.
    const listener = spawn('python3', ['-uc', LISTEN_FOR_DATAGRAMS, socket], { stdio: ['ignore', 'pipe', 'inherit'] });
    let heard = '';
    listener.stdout.on('data', (chunk: Buffer) => (heard += chunk.toString()));
    const hears = (word: string) => until(() => heard.includes(word));
    try {
      await hears('listening');
      const daemon = await Daemon.start(scratch.path('notify'), { env: { NOTIFY_SOCKET: socket } });
      await hears('READY=1');
      assert.match(heard, new RegExp(`MAINPID=${String(daemon.process.pid)}\\b`));
      assert.ok(!heard.includes('STOPPING=1'));
      assert.equal(await daemon.stop(), 0);
      await hears('STOPPING=1');
    } finally {
      listener.kill();
    }
  });

  it('a second daemon on the same state folder is refused, the first goes on', async () => {
    const first = await Daemon.start(scratch.path('state'));
    const second = await Daemon.spawn(scratch.path('state'));
    assert.equal(await second.exited, 1);
    assert.match(second.log, /another daemon works with the state folder/);
    await first.stranger.unary('OperationService/ListOperations');
    assert.equal(await first.stop(), 0);
  });

  it('takes over the socket of a dead daemon, not that of a living server', async () => {
    const daemon = await Daemon.start(scratch.path('stale'));
    daemon.process.kill('SIGKILL');
    await daemon.exited;
    assert.ok(existsSync(scratch.path('stale/s.sock')));
    const next = await Daemon.start(scratch.path('stale'));
    await next.stop();
    const server = createServer().listen(scratch.path('stale/s.sock'));
    const refused = await Daemon.spawn(scratch.path('stale'));
    assert.equal(await refused.exited, 1);
    assert.match(refused.log, /another process listens/);
    server.close();
  });

  it('refuses a socket path of more than 107 bytes, and a file in its place', async () => {
    const long = await Daemon.spawn(scratch.path('n'.repeat(100)));
    assert.equal(await long.exited, 1);
    assert.match(long.log, /the system allows 107/);
    await mkdir(scratch.path('file'));
    await writeFile(scratch.path('file/s.sock'), 'precious');
    const file = await Daemon.spawn(scratch.path('file'));
    assert.equal(await file.exited, 1);
    assert.match(file.log, /is no socket/);
  });

  it('refuses a configuration in words: unknown key, missing root', async () => {
    const cases: [string, string, RegExp][] = [
      ['bad-key', 'surprise = 1', /surprise/],
      ['bad-root', '[[roots]]\npath = "/does/not/exist"', /the root \/does\/not\/exist cannot be used: .*no such file/],
    ];
    for (const [name, toml, message] of cases) {
      const daemon = await Daemon.spawn(scratch.path(name), { toml });
      assert.equal(await daemon.exited, 1, name);
      assert.match(daemon.log, message);
      assert.ok(!daemon.log.includes('    at '), daemon.log);
    }
  });

  it('sandbox.mode = require refuses to start without bubblewrap, auto warns', async () => {
    const programs = scratch.path('no-bwrap');
    await mkdir(programs);
    for (const program of ['node', 'setpriv', 'flock', 'readlink', 'dirname', 'test'])
      await symlink((await sh('bash', '-c', `type -P ${program}`)).trim(), join(programs, program));
    const env = { PATH: programs };
    const demanded = await Daemon.spawn(scratch.path('require'), { toml: '[sandbox]\nmode = "require"', env });
    assert.equal(await demanded.exited, 1);
    assert.match(demanded.log, /bwrap is not installed/);
    assert.ok(!demanded.log.includes('    at '), demanded.log);
    const wanted = await Daemon.start(scratch.path('auto'), { toml: '[sandbox]\nmode = "auto"', env });
    assert.match(wanted.log, /no sandbox: tools run with the rights of the daemon.*bwrap is not installed/);
    await wanted.stop();
  });

  it('--check-config, --show-config and --version', async () => {
    const { version } = JSON.parse(readFileSync(join(ROOT_FOLDER, 'package.json'), 'utf8')) as { version: string };
    assert.equal((await tryRun(HOSTLERD, ['--version'])).stdout, `hostlerd ${version}\n`);
    assert.equal((await tryRun(HOSTLER, ['--version'])).stdout, `hostler ${version}\n`);
    const config = join(ROOT_FOLDER, 'packaging/hostler.example.toml');
    const [checks, fits] = ['--check-config', scratch.path('fits.toml')];
    await writeFile(
      fits,
      `state_dir = "${scratch.path('fits')}"\n[server]\nhttp = ""\n[[roots]]\npath = "${scratch.path()}"\n`,
    );
    const checked = await tryRun(HOSTLERD, ['--config', fits, checks]);
    assert.deepEqual([checked.code, checked.stdout], [0, `${fits}: ok\n`], checked.stderr);
    assert.ok(!existsSync(scratch.path('fits')));
    const shown = await tryRun(HOSTLERD, ['--config', config, '--show-config']);
    assert.match(shown.stdout, /running_operations = 8/);
    await writeFile(scratch.path('bad.toml'), 'x = 1\n');
    const bad = await tryRun(HOSTLERD, ['--config', scratch.path('bad.toml'), checks]);
    assert.equal(bad.code, 1);
    assert.match(bad.stderr, /x/);
    assert.equal((await tryRun(HOSTLERD, ['--config', '/nowhere.toml'])).code, 1);
  });

  it('--check-config and the start refuse a fetch.ca_file that holds no certificates', async () => {
    const [ca, config] = [scratch.path('ca.pem'), scratch.path('ca.toml')];
    const roots = `[[roots]]\npath = "${scratch.path()}"\n`;
    await writeFile(config, `state_dir = "${scratch.path('ca-state')}"\n[fetch]\nca_file = "${ca}"\n${roots}`);
    const begin = '-----BEGIN CERTIFICATE-----\n';
    const texts = ['', 'hello\n', `${begin}aGVsbG8=\n`, `${begin}aGVsbG8=\n-----END CERTIFICATE-----\n`];
    for (const text of texts) {
      await writeFile(ca, text);
      for (const more of [['--check-config'], []]) {
        const tried = await tryRun(HOSTLERD, ['--config', config, ...more]);
        assert.deepEqual([tried.code, /fetch\.ca_file/.test(tried.stderr)], [1, true], tried.stderr);
      }
    }
    await rm(ca);
    const missing = await tryRun(HOSTLERD, ['--config', config, '--check-config']);
    assert.match(missing.stderr, /fetch\.ca_file/);
  });

  it('drains: health says NOT_SERVING, new work is refused, running work gets its time, then is cancelled', async () => {
    const daemon = await Daemon.start(scratch.path('drain'), { server: 'drain_seconds = 2' });
    await writeFile(daemon.image('noise.raw'), noise(8 << 20));
    const request = (name: string, rate: number): Message => ({
      source: daemon.image('noise.raw'),
      source_format: 'raw',
      target: daemon.image(name),
      target_format: 'qcow2',
      bandwidth_bytes_per_second: String(rate),
    });
    const quick = daemon.stranger.operation('ImageService/ConvertImage', request('quick.qcow2', 8 << 20));
    const endless = failure(daemon.stranger.all('ImageService/ConvertImage', request('endless.qcow2', 65536)));
    const watching = failure(daemon.stranger.all('OperationService/WatchOperations'));
    await runningAre(daemon.stranger, 2);
    daemon.process.kill('SIGTERM');
    await daemon.logged(DRAINS);
    const late = await failure(
      daemon.stranger.all('ImageService/CreateImage', { path: daemon.image('late'), format: 'raw', size: '1K' }),
    );
    assert.equal(late.code, status.UNAVAILABLE);
    assert.equal(late.reason, 'SHUTTING_DOWN');
    await quick;
    assert.equal((await endless).reason, 'SHUTTING_DOWN');
    assert.equal((await watching).reason, 'SHUTTING_DOWN');
    assert.equal(await daemon.exited, 0);
    assert.ok(existsSync(daemon.image('quick.qcow2')));
    assert.ok(!existsSync(daemon.image('endless.qcow2')));
    assert.deepEqual(await daemon.leftovers(), []);
    daemon.stranger.close();
  });

  it('a second SIGTERM cancels at once', async () => {
    const daemon = await Daemon.start(scratch.path('twice'), { server: 'drain_seconds = 600' });
    // At its rate eight minutes, longer than any test.
    await writeFile(daemon.image('noise.raw'), noise(32 << 20));
    const endless = failure(
      daemon.stranger.all('ImageService/ConvertImage', {
        source: daemon.image('noise.raw'),
        source_format: 'raw',
        target: daemon.image('t'),
        target_format: 'raw',
        bandwidth_bytes_per_second: '65536',
      }),
    );
    await runningAre(daemon.stranger, 1);
    daemon.process.kill('SIGTERM');
    await daemon.logged(DRAINS);
    daemon.process.kill('SIGTERM');
    assert.equal(await daemon.exited, 0);
    await endless;
    assert.deepEqual(await daemon.leftovers(), []);
    daemon.stranger.close();
  });

  it('children end with a daemon that is killed', async () => {
    const daemon = await Daemon.start(scratch.path('killed'));
    await writeFile(daemon.image('noise.raw'), noise(8 << 20));
    const stream = daemon.stranger.stream('ImageService/ConvertImage', {
      source: daemon.image('noise.raw'),
      source_format: 'raw',
      target: daemon.image('t'),
      target_format: 'raw',
      bandwidth_bytes_per_second: '65536',
    });
    let pid = 0;
    stream.on('data', (event: { pid?: number }) => (pid = event.pid ?? pid));
    stream.on('error', () => undefined);
    await until(() => pid !== 0);
    daemon.process.kill('SIGKILL');
    await daemon.exited;
    await gone(pid);
    daemon.stranger.close();
  });

  it('over loopback TCP a caller may only look, unless configured otherwise', async () => {
    for (const role of ['viewer', 'admin']) {
      const daemon = await Daemon.start(scratch.path(`tcp-${role}`), {
        listen: ['tcp://127.0.0.1:0'],
        http: '127.0.0.1:0',
        server: `loopback_role = "${role}"`,
      });
      const stranger = new Stranger(daemon.tcp);
      await stranger.unary('OperationService/ListOperations');
      const create = stranger.all('ImageService/CreateImage', {
        path: daemon.image('x'),
        format: 'raw',
        size: '1K',
      });
      if (role === 'admin') await create;
      else assert.equal((await failure(create)).reason, 'METHOD_NOT_ALLOWED');
      assert.match(
        await daemon.metrics(),
        /hostler_rpc_duration_seconds_count\{rpc="hostler\.v1\.OperationService\/ListOperations",code="OK"\} 1/,
      );
      assert.equal((await fetch(`${daemon.http}/readyz`)).status, 200);
      stranger.close();
      await daemon.stop();
    }
  });
});
