/**
 * The Debian package where no systemd runs, as in a container: the daemon is started by the command
 * line of the unit, as the user and with the folders of the unit. It needs less of this machine than
 * the suite with systemd, and stands for it where that cannot run.
 */
import assert from 'node:assert/strict';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT_FOLDER } from '../support/daemon.js';
import { isRoot, needs } from '../support/needs.js';
import { BootedRoot } from '../support/package/booted-root.js';
import { scratchFolder } from '../support/scratch.js';
import { sh, tryRun } from '../support/shell.js';
import { until } from '../support/until.js';

const NOT_POSSIBLE = 69;
const IMAGES = '/var/lib/hostler/images';
const UNIT = '/lib/systemd/system/hostlerd.service';
const LOG = '/var/log/hostler/daemon.log';

describe('the Debian package without systemd', function () {
  this.timeout(600_000);
  const scratch = scratchFolder();
  let root: BootedRoot;

  before(async function () {
    this.timeout(1_800_000);
    needs(this, isRoot, 'needs root to make a Debian');
    const built = (await sh(join(ROOT_FOLDER, 'scripts/package/deb.sh'))).trim();
    const folder = scratch.path('root');
    const packages = 'ca-certificates,systemd-standalone-sysusers,systemd-standalone-tmpfiles';
    const made = await tryRun(join(ROOT_FOLDER, 'scripts/debian-root.sh'), [folder, packages]);
    needs(this, made.code !== NOT_POSSIBLE, `no Debian can be made here: ${made.stderr}`);
    assert.equal(made.code, 0, made.stderr);
    await copyFile(join(ROOT_FOLDER, built), join(folder, 'root/hostler.deb'));
    await sh('chroot', folder, 'apt-get', 'update', '-qq');
    await sh('chroot', folder, 'apt-get', 'install', '-y', '-qq', '--no-install-recommends', '/root/hostler.deb');
    const booted = await BootedRoot.start(folder, 'none').catch((error: unknown) => String(error));
    if (typeof booted === 'string') needs(this, false, booted);
    else root = booted;
    scratch.onEnd(() => root.stop());
    // What systemd does at boot, which needs /proc, and before the command line.
    await root.run('systemd-tmpfiles --create hostlerd.conf');
    const own = 'install -d -o hostler -g hostler';
    await root.run(
      `${own} -m 755 /run/hostler && ${own} -m 700 /var/lib/hostler/state && ${own} -m 750 /var/log/hostler`,
    );
  });

  /** The lines of the unit with this name. */
  const ofUnit = async (name: string) => root.run(`sed -n 's/^${name}=//p' ${UNIT}`);
  /** Runs a command as the unit runs the daemon. */
  const asUnit = async (command: string) => {
    const [user, group, files] = await Promise.all(['User', 'Group', 'LimitNOFILE'].map(ofUnit));
    const rights = '--no-new-privs --bounding-set=-all --inh-caps=-all --ambient-caps=-all';
    // This machine may allow fewer.
    const open = `ulimit -n ${files ?? ''} 2>/dev/null || ulimit -n "$(ulimit -H -n)"`;
    return `${open}; exec setpriv --reuid=${user ?? ''} --regid=${group ?? ''} --init-groups ${rights} ${command}`;
  };
  /** Starts the daemon and waits until it serves; its process id. */
  const start = async () => {
    const command = await asUnit(await ofUnit('ExecStart'));
    const pid = await root.run(`( ${command} ) >>${LOG} 2>&1 </dev/null & echo $!`);
    await until(async () => (await root.try('hostler host info')).code === 0);
    return pid;
  };
  const gone = (pid: string) => until(async () => (await root.try(`kill -0 ${pid}`)).code !== 0);
  let daemon = '';

  it('serves with the command line of the unit, as its user and without any right', async () => {
    daemon = await start();
    const status = await root.run(`cat /proc/${daemon}/status`);
    assert.match(status, /^CapBnd:\s0+$/m);
    assert.match(status, /^NoNewPrivs:\s1$/m);
    assert.equal(await root.run(`stat -c %U /proc/${daemon}`), 'hostler');
    assert.match(await root.run('hostler host info'), /^sandbox +bubblewrap$/m);
    await root.run(`hostler image create ${IMAGES}/disk.qcow2 64M -f qcow2`);
    await root.run(`hostler image convert -f qcow2 -O raw ${IMAGES}/disk.qcow2 ${IMAGES}/disk.raw`);
  });

  it('makes a host of which the doctor has nothing to say', async () => {
    const { code, stdout, stderr } = await root.try(await asUnit('hostler doctor'));
    assert.equal(code, 0, stdout + stderr);
    assert.doesNotMatch(stdout, /^problem/m);
    assert.match(stdout, /^ok +sandbox /m);
  });

  it('does the demo', () => root.demo());

  it('knows its operations after SIGKILL, and leaves nothing of what ran', async () => {
    await root.run(`head -c 64M /dev/urandom >${IMAGES}/big.raw && chown hostler: ${IMAGES}/big.raw`);
    const to = `${IMAGES}/crashed.qcow2`;
    await root.run(`hostler image convert --detach --bandwidth 1M -f raw -O qcow2 ${IMAGES}/big.raw ${to}`);
    await until(async () => (await root.run(`find ${IMAGES} -path '*/.hostler-*' -type f`)) !== '');
    await root.run(`kill -KILL ${daemon}`);
    await gone(daemon);
    daemon = await start();
    assert.match(await root.run('hostler ops ls'), /AGENT_RESTARTED/);
    assert.equal(await root.run(`find ${IMAGES} -name '.hostler-*' -o -name 'crashed*'`), '');
  });

  it('ends at SIGTERM, and is removed and purged but for its images', async () => {
    await root.run(`kill -TERM ${daemon}`);
    await gone(daemon);
    await root.run('apt-get remove -y -qq hostler && test -s /etc/hostler/hostler.toml');
    await root.run('apt-get purge -y -qq hostler');
    const left = "find / -xdev -iname '*hostler*' -not -path '/root/*' -not -path '/var/cache/apt/*'";
    assert.equal(await root.run(left), '/var/lib/hostler');
    assert.equal(await root.run('ls /var/lib/hostler'), 'images');
    await root.run(`test -s ${IMAGES}/disk.qcow2`);
  });
});
