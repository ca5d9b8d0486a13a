/** The alert rules pass the tests beside them, and a real Prometheus fires them for real trouble. */
import assert from 'node:assert/strict';
import { copyFile, mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { Daemon } from '../support/daemon.js';
import { FaultFilesystem } from '../support/faults/fault-filesystem.js';
import { mountSshfs } from '../support/faults/sshfs.js';
import { Pki } from '../support/hosts/pki.js';
import { RULES_FILE, RULES_TEST_FILE, alerts } from '../support/metrics/operator-files.js';
import { installed, needs } from '../support/needs.js';
import { scratchFolder } from '../support/scratch.js';
import { Prometheus } from '../support/servers/prometheus.js';
import { sh, tryRun } from '../support/shell.js';
import { Stranger, failure } from '../support/stranger.js';
import { until } from '../support/until.js';

/** More than the rules let pass. */
const MANY = 80;

describe('the alert rules and promtool', () => {
  const scratch = scratchFolder();
  before(function () {
    needs(this, installed('promtool'), 'promtool is not installed (scripts/metrics-packages.sh)');
  });
  const test = (file: string) => tryRun('promtool', ['test', 'rules', file]);

  it('pass their tests', async () => {
    const { code, stdout, stderr } = await test(RULES_TEST_FILE);
    assert.equal(code, 0, stdout + stderr);
  });

  it('notice an alert that does not fire', async () => {
    const folder = scratch.path('rules');
    await mkdir(folder);
    const [{ title, expr } = { title: '', expr: '' }] = alerts();
    const rules = await readFile(RULES_FILE, 'utf8');
    await writeFile(join(folder, 'hostler.rules.yml'), rules.replace(`expr: ${expr}\n`, 'expr: vector(1) == 0\n'));
    await copyFile(RULES_TEST_FILE, join(folder, 'hostler.rules.test.yml'));
    const { code, stdout, stderr } = await test(join(folder, 'hostler.rules.test.yml'));
    assert.deepEqual([code, (stdout + stderr).includes(`alertname="${title}"`)], [1, true], stdout + stderr);
  });
});

describe('the alert rules and a real Prometheus', () => {
  const scratch = scratchFolder();
  let daemon: Daemon;
  let prometheus: Prometheus;
  let disk: FaultFilesystem;
  let server = 0;
  const root = (name: string) => scratch.path('roots', name);
  const fires = (name: string) => until(async () => (await prometheus.firing()).includes(name), 40_000);
  const silent = (name: string) => until(async () => !(await prometheus.firing()).includes(name), 40_000);

  before(async function () {
    needs(this, installed('prometheus'), 'prometheus is not installed (scripts/metrics-packages.sh)');
    for (const name of ['gone', 'full', 'sparse', 'far']) await mkdir(root(name), { recursive: true });
    server = await mountSshfs(this, scratch, root('far'));
    scratch.onEnd(() => Promise.resolve(process.kill(server, 'SIGCONT')));
    disk = await FaultFilesystem.mount(this, scratch, scratch.path('disk'));
    for (const name of ['full', 'sparse']) {
      await sh('mount', '-t', 'tmpfs', '-o', 'size=1M', 'tmpfs', root(name));
      scratch.onEnd(() => sh('umount', '-l', root(name)));
    }
    await sh('truncate', '-s', '1T', join(root('sparse'), 'disk.raw'));
    const pki = await Pki.init(scratch.path('pki'));
    await pki.issue('server', 'server', { dns: ['localhost'], days: 3 });
    daemon = await Daemon.start(scratch.path('daemon'), {
      http: '127.0.0.1:0',
      listen: ['tcp://127.0.0.1:0'],
      stateFolder: join(disk.path, 'state'),
      roots: ['gone', 'full', 'sparse', 'far'].map((name) => `[[roots]]\npath = "${root(name)}"\n`).join(''),
      toml: `${pki.toml()}[limits]\nroot_patience_ms = 1000\n[audit]\nfile = "${scratch.path('audit.log')}"
[[clusters]]\nname = "away"\nconfig_file = "${scratch.path('no.conf')}"\n[[pools]]\nname = "away"\ncluster = "away"
[[listeners]]\naddress = "unix://${scratch.path('viewer.sock')}"\nrole = "viewer"\n`,
    });
    scratch.onEnd(() => daemon.stop());
    // What lasts for minutes in the rules is not waited for here.
    const rules = (await readFile(RULES_FILE, 'utf8')).replaceAll(/^(\s+)for: \d+m$/gm, '$1for: 1s');
    await writeFile(scratch.path('rules.yml'), rules);
    prometheus = await Prometheus.start(this, scratch, [new URL(daemon.http).host], scratch.path('rules.yml'));
    const alive = 'count_over_time(hostler_root_free_bytes[1m]) >= 3';
    await until(async () => (await prometheus.range(alive)).length >= 3);
  });

  it('no alert is sent for a daemon without trouble, but for what was set up', async () => {
    await fires('HostlerCertificateExpires');
    await fires('HostlerRootOvercommitted');
    await fires('HostlerPoolStalled');
    assert.deepEqual(await prometheus.firing(), [
      'HostlerCertificateExpires',
      'HostlerPoolStalled',
      'HostlerRootOvercommitted',
    ]);
  });

  it('a full root', async () => {
    const file = await open(join(root('full'), 'disk.raw'), 'w');
    await file.write(Buffer.alloc(1_000_000, 1));
    await file.close();
    await fires('HostlerRootFull');
    await rm(join(root('full'), 'disk.raw'));
    await silent('HostlerRootFull');
  });

  it('a root that is gone', async () => {
    await rename(root('gone'), root('moved'));
    await fires('HostlerRootUnavailable');
    await rename(root('moved'), root('gone'));
    await silent('HostlerRootUnavailable');
  });

  it('a root that does not answer', async () => {
    process.kill(server, 'SIGSTOP');
    await fires('HostlerRootStalled');
    process.kill(server, 'SIGCONT');
    await silent('HostlerRootStalled');
  });

  it('calls that are denied', async () => {
    const viewer = new Stranger(`unix://${scratch.path('viewer.sock')}`);
    for (let n = 0; n < MANY; n++)
      await failure(viewer.all('ImageService/DeleteImage', { path: join(root('gone'), 'x') }));
    viewer.close();
    await fires('HostlerDenials');
  });

  it('connections without a certificate', async () => {
    const [host = '', port] = daemon.tcp.split(':');
    for (let n = 0; n < MANY; n++) {
      const socket = connect(Number(port), host);
      // It is reset where the daemon refuses it first.
      socket.on('error', () => undefined);
      socket.end('GET / HTTP/1.1\r\n\r\n');
      await once(socket, 'close');
    }
    await fires('HostlerConnectionsRefused');
  });

  it('an audit log that cannot be written', async () => {
    const file = scratch.path('audit.log');
    await rename(file, `${file}.1`);
    await mkdir(file);
    await daemon.stranger.operation('FileService/CreateDirectory', { path: join(root('gone'), 'folder') });
    await fires('HostlerAuditFails');
    await rm(file, { recursive: true });
  });

  it('a state folder whose disk is full', async () => {
    await disk.fail({ kinds: ['write'], errno: 'ENOSPC', times: 0, match: '/state/journal' });
    const made = daemon.stranger.operation('FileService/CreateDirectory', { path: join(root('gone'), 'other') });
    assert.equal((await failure(made)).reason, 'STATE_UNAVAILABLE');
    await fires('HostlerStateNotWritable');
    await disk.heal();
    await silent('HostlerStateNotWritable');
  });

  it('a daemon that has ended', async () => {
    assert.equal(await daemon.stop(), 0);
    await fires('HostlerDown');
  });
});
