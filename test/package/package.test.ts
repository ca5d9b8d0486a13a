/**
 * The Debian package in a clean Debian 12 with systemd: from the package of the commit before to this
 * one, and back, with work in flight; then everything that is promised of an installed daemon, and
 * what is left when it goes.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { copyFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT_FOLDER } from '../support/daemon.js';
import { installed, isRoot, needs } from '../support/needs.js';
import { BootedRoot } from '../support/package/booted-root.js';
import { scratchFolder } from '../support/scratch.js';
import { sh, tryRun } from '../support/shell.js';
import { until } from '../support/until.js';

const NOT_POSSIBLE = 69;
const IMAGES = '/var/lib/hostler/images';
const CONFIG = '/etc/hostler/hostler.toml';
const INSTALL = 'apt-get install -y -qq --no-install-recommends --allow-downgrades -o Dpkg::Options::=--force-confold';
/** Three packages and a Debian are made, on a machine that does other work too. */
const PREPARATION_MS = 1_800_000;
/** As `systemd-analyze security --threshold` counts: 30 is 3.0. */
const [MOST_EXPOSED, MOST_EXPOSED_AS_ROOT] = [30, 47];
/** The least number of cases of the conformance suite that pass. */
const LEAST_CASES = 150;

describe('the Debian package', function () {
  this.timeout(600_000);
  const scratch = scratchFolder();
  let root: BootedRoot;
  let [previous, current] = ['', ''];

  before(async function () {
    this.timeout(PREPARATION_MS);
    needs(this, isRoot, 'needs root to boot a Debian');
    current = join(ROOT_FOLDER, (await sh(join(ROOT_FOLDER, 'scripts/package/deb.sh'))).trim());
    previous = (await sh(join(ROOT_FOLDER, 'scripts/package/previous.sh'), scratch.path('previous'))).trim();
    const folder = scratch.path('root');
    const made = await tryRun(join(ROOT_FOLDER, 'scripts/debian-root.sh'), [
      folder,
      'systemd,systemd-sysv,ca-certificates,logrotate,e2fsprogs',
    ]);
    needs(this, made.code !== NOT_POSSIBLE, `no Debian can be made here: ${made.stderr}`);
    assert.equal(made.code, 0, made.stderr);
    await copyFile(current, join(folder, 'root/current.deb'));
    await copyFile(previous, join(folder, 'root/previous.deb'));
    // It has no network once it has booted: apt gets what the packages depend on now.
    await sh('chroot', folder, 'apt-get', 'update', '-qq');
    const words = ['install', '-y', '-qq', '--no-install-recommends', '--download-only', '/root/current.deb'];
    await sh('chroot', folder, 'apt-get', ...words);
    const booted = await BootedRoot.start(folder).catch((error: unknown) => String(error));
    if (typeof booted === 'string') needs(this, false, booted);
    else root = booted;
    scratch.onEnd(() => root.stop());
  });

  const isServing = async () => (await root.try('hostler host info')).code === 0;
  /** The ids of all operations that the daemon knows. */
  const operations = async () => {
    const ids = (await root.run('hostler --json ops ls')).matchAll(/"operationId": *"([^"]+)"/g);
    const found = [...ids].map(([, id]) => id);
    assert.ok(found.length > 0, 'the daemon knows no operation');
    return found;
  };

  it('is the same, byte for byte, when it is built again', async () => {
    const first = await readFile(current);
    await sh(join(ROOT_FOLDER, 'scripts/package/deb.sh'));
    assert.ok(first.equals(await readFile(current)));
  });

  it('is clean for lintian, and each override has its reason', async function () {
    needs(this, installed('lintian'), 'lintian is not installed');
    const { code, stdout } = await tryRun('lintian', ['--allow-root', '--fail-on', 'error,warning', current]);
    assert.deepEqual({ code, stdout }, { code: 0, stdout: '' });
    const overrides = await readFile(join(ROOT_FOLDER, 'packaging/debian/hostler.lintian-overrides'), 'utf8');
    // Overrides of one reason stand together below it.
    for (const group of overrides
      .trim()
      .split(/\n(?=#)/)
      .filter((each) => !/^#[^\n]*$/.test(each)))
      assert.match(group, /^#/);
  });

  it('of the commit before installs and serves', async () => {
    await root.run(`${INSTALL} /root/previous.deb`);
    assert.equal(await root.property('ActiveState'), 'active');
    await root.run(`hostler image create ${IMAGES}/old.qcow2 64M -f qcow2 --request-id first`);
    // So that a stop does not wait for the upload.
    await root.run(`sed -i '/^listen/a drain_seconds = 2' ${CONFIG} && systemctl restart hostlerd`);
  });

  it('is installed over it, and keeps the history, the configuration and a running upload', async () => {
    await root.run('head -c 48M /dev/urandom >/root/upload.raw');
    const command = `hostler image upload /root/upload.raw ${IMAGES}/upload.raw -f raw`;
    const broken = root.try(`${command} --bandwidth 1M`);
    const kept = () => root.run(`find ${IMAGES} -path '*/.hostler-*' -type f -size +2M`);
    await until(async () => (await kept()) !== '');
    await root.run(`${INSTALL} /root/current.deb`);
    assert.notEqual((await broken).code, 0, 'the upload ended before the upgrade');
    assert.notEqual(await kept(), '', 'nothing is left of the upload');
    assert.equal(await root.property('ActiveState'), 'active');
    await root.run(`grep -q '^drain_seconds' ${CONFIG}`);
    await root.run(`${command} && cmp /root/upload.raw ${IMAGES}/upload.raw`);
    // A repeated request is answered from the history; another one would find the image there.
    await root.run(`hostler image create ${IMAGES}/old.qcow2 64M -f qcow2 --request-id first`);
  });

  it('gives way to the commit before, which reads its journal or refuses it with a clear line', async () => {
    const before = await operations();
    const journal = '/var/lib/hostler/state/journal.sqlite';
    await root.run(`${INSTALL} /root/previous.deb`);
    if (await isServing()) {
      assert.deepEqual(await operations(), before);
    } else {
      assert.match(
        await root.run('journalctl -u hostlerd -o cat -n 30'),
        /journal\.sqlite has schema .*, this version knows/,
      );
      await root.run(`test -s ${journal}`);
    }
    await root.run(`${INSTALL} /root/current.deb`);
    assert.deepEqual(await operations(), before);
    assert.equal(await root.run(`ls /var/lib/hostler/state | grep -c broken || true`), '0');
  });

  it('refuses the journal of a version to come with a clear line, and leaves it as it is', async () => {
    const journal = '/var/lib/hostler/state/journal.sqlite';
    const schema = (value: string) =>
      root.run(
        `/usr/lib/hostler/node_modules/.bin/node -e 'new (require("node:sqlite").DatabaseSync)("${journal}").exec("UPDATE meta SET value = ${value} WHERE key = char(115,99,104,101,109,97)")'`,
      );
    const before = await operations();
    await root.run('systemctl stop hostlerd');
    const known = await root.run(
      `/usr/lib/hostler/node_modules/.bin/node -p 'new (require("node:sqlite").DatabaseSync)("${journal}").prepare("SELECT value FROM meta WHERE key = ?").get("schema").value'`,
    );
    await schema('99');
    await root.run(`sha256sum ${journal} >/root/sum`);
    assert.notEqual((await root.try('systemctl start hostlerd')).code, 0);
    assert.match(await root.run('journalctl -u hostlerd -o cat -n 20'), /has schema "99", this version knows/);
    await root.run('systemctl stop hostlerd; sha256sum --quiet -c /root/sum');
    await schema(known);
    await root.run('systemctl reset-failed hostlerd; systemctl start hostlerd');
    assert.deepEqual(await operations(), before);
  });

  it('runs as its own user without any right, in a unit that is rated at most 3.0', async () => {
    const pid = await root.property('MainPID');
    const status = await root.run(`cat /proc/${pid}/status`);
    assert.match(status, /^CapBnd:\s0+$/m);
    assert.match(status, /^NoNewPrivs:\s1$/m);
    assert.equal(await root.run(`stat -c %U /proc/${pid}`), 'hostler');
    assert.match(await root.run('hostler host info'), /^sandbox +bubblewrap$/m);
    await root.run(`systemd-analyze security hostlerd --threshold=${String(MOST_EXPOSED)}`);
  });

  it('makes a host of which the doctor has nothing to say, as the unit runs the daemon', async () => {
    // There is no bus here, which systemd-run would need.
    const unit = [
      '[Service]',
      'Type=oneshot',
      'User=hostler',
      'LimitNOFILE=65536',
      'StateDirectory=hostler/state',
      'LogsDirectory=hostler',
      'StandardOutput=file:/run/doctor.text',
      'StandardError=file:/run/doctor.text',
      'ExecStart=/usr/bin/hostler doctor',
    ].join('\n');
    await root.run(`echo '${unit}' >/run/systemd/system/doctor.service; systemctl daemon-reload`);
    const { code } = await root.try('systemctl start doctor.service');
    const said = await root.run('cat /run/doctor.text');
    assert.equal(code, 0, said);
    assert.doesNotMatch(said, /^problem/m);
    assert.match(said, /^ok +sandbox /m);
  });

  it('has manual pages, completions, licenses, a bill of materials and the contract', async () => {
    const man = await root.run('zcat /usr/share/man/man1/hostler.1.gz /usr/share/man/man8/hostlerd.8.gz');
    for (const word of ['hostler image convert', '--preallocation <how>', '--check-config'])
      assert.ok(man.replaceAll('\\-', '-').includes(word), word);
    const complete =
      '. /usr/share/bash-completion/completions/hostler; COMP_WORDS=(hostler --json image conv); COMP_CWORD=3';
    assert.equal(await root.run(`${complete}; _hostler; echo "\${COMPREPLY[@]}"`), 'convert');
    await root.run(
      'test -s /usr/share/zsh/vendor-completions/_hostler -a -s /usr/share/fish/vendor_completions.d/hostler.fish',
    );
    const bill = await root.run('zcat /usr/share/doc/hostler/hostler.cdx.json.gz');
    const notices = await root.run('zcat /usr/share/doc/hostler/NOTICES.gz');
    for (const name of ['@grpc/grpc-js', 'koffi', 'zod', `node-linux-${process.arch}`]) {
      assert.ok(bill.includes(`"name": "${name}"`), name);
      assert.ok(notices.includes(`\n${name} `), name);
    }
    await root.run('test -s /usr/share/hostler/hostler.binpb -a -s /usr/share/hostler/proto/hostler/v1/image.proto');
    await root.run('test -s /usr/share/hostler/grafana/hostler.json');
    for (const file of ['hostler.rules.yml', 'hostler.rules.test.yml'])
      await root.run(`test -s /usr/share/hostler/prometheus/${file}`);
    await root.run('hostlerd --config /usr/share/doc/hostler/examples/hostler.example.toml --show-config >/dev/null');
  });

  it('rotates the audit log, and the next line makes it anew', async () => {
    await root.run('logrotate --force /etc/logrotate.d/hostlerd');
    await root.run(`hostler image create ${IMAGES}/audited.qcow2 1M -f qcow2`);
    assert.match(await root.run('cat /var/log/hostler/audit.log'), /audited\.qcow2/);
    assert.match(await root.run('cat /var/log/hostler/audit.log.1'), /upload\.raw/);
  });

  it('does the demo', () => root.demo());

  it('leaves no child after a crash or a stop, and starts again after a crash', async () => {
    const children = () =>
      root.run('cat /sys/fs/cgroup/system.slice/hostlerd.service/cgroup.procs 2>/dev/null | wc -l');
    await root.run(`head -c 64M /dev/urandom >${IMAGES}/big.raw && chown hostler: ${IMAGES}/big.raw`);
    const convert = (to: string) =>
      root.run(`hostler image convert --detach --bandwidth 1M -f raw -O qcow2 ${IMAGES}/big.raw ${IMAGES}/${to}.qcow2`);
    await convert('crashed');
    await until(async () => Number(await children()) > 1);
    const pid = await root.property('MainPID');
    await root.run(`kill -KILL ${pid}`);
    await until(isServing);
    assert.notEqual(await root.property('MainPID'), pid);
    assert.equal(await children(), '1');
    assert.match(await root.run('hostler ops ls'), /AGENT_RESTARTED/);
    assert.equal(await root.run(`find ${IMAGES} -name '.hostler-*' -o -name 'crashed*'`), '');
    await convert('stopped');
    await until(async () => Number(await children()) > 1);
    await root.run('systemctl stop hostlerd');
    assert.equal(await root.property('Result'), 'success');
    assert.equal(await children(), '0');
    await root.run('systemctl start hostlerd');
    assert.equal(await root.run(`find ${IMAGES} -name '.hostler-*' -o -name 'stopped*'`), '');
  });

  it('passes the conformance suite', async () => {
    const restart = 'systemctl kill -s KILL hostlerd; systemctl restart hostlerd';
    const { code, stdout } = await root.try(`hostler-conformance --root ${IMAGES} --restart-command '${restart}'`);
    assert.equal(code, 0, stdout);
    const passed = Number(/(\d+) passed/.exec(stdout)?.[1]);
    assert.ok(passed >= LEAST_CASES, `${String(passed)} cases passed`);
  });

  it('works for other users once root.conf is in place', async () => {
    const refused = await root.try(`hostler file chown nobody ${IMAGES}/old.qcow2`);
    assert.match(refused.stderr, /ACCESS_DENIED/);
    await root.run('install -D -m 644 /usr/share/hostler/root.conf /etc/systemd/system/hostlerd.service.d/root.conf');
    await root.run('systemctl daemon-reload && systemctl restart hostlerd');
    await root.run(`hostler file chown nobody ${IMAGES}/old.qcow2 && chmod 600 ${IMAGES}/old.qcow2`);
    assert.equal(await root.run(`stat -c %U ${IMAGES}/old.qcow2`), 'nobody');
    await root.run(`hostler image convert -f qcow2 -O raw ${IMAGES}/old.qcow2 ${IMAGES}/new.raw`);
    await root.run(`systemd-analyze security hostlerd --threshold=${String(MOST_EXPOSED_AS_ROOT)}`);
  });

  it('leaves configuration, state and images when it is removed, and only images when it is purged', async () => {
    await root.run('apt-get remove -y -qq hostler');
    assert.equal(existsSync(join(root.folder, 'usr/lib/hostler')), false);
    assert.equal(await root.property('ActiveState'), 'inactive');
    await root.run(`test -s ${CONFIG} -a -s /var/lib/hostler/state/journal.sqlite -a -s ${IMAGES}/old.qcow2`);
    await root.run('apt-get purge -y -qq hostler');
    const left = "find / -xdev -iname '*hostler*' -not -path '/root/*' -not -path '/var/cache/apt/*'";
    assert.equal(await root.run(left), '/var/lib/hostler');
    assert.equal(await root.run('ls /var/lib/hostler'), 'images');
    await root.run(`test -s ${IMAGES}/old.qcow2`);
  });
});
