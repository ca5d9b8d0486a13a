/** What a far host says of a file and what it sends are two things: the last bytes stay free. */
import assert from 'node:assert/strict';
import { statfsSync } from 'node:fs';
import { access, chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { checkEach } from '../../support/check-each.js';
import { Daemon } from '../../support/daemon.js';
import { noise, sameBytes, sparseFile } from '../../support/images/disks.js';
import { BARE_PORT, THERE, TwoHosts, startSshd } from '../../support/hosts/network.js';
import { installed, isRoot, needs, needsNetworks } from '../../support/needs.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const MIB = 1 << 20;
const [DISK_MIB, OVERHEAD_MIB, MUCH_MIB] = [256, 8, 400];

describe('far hosts that say one length and send another', function () {
  this.timeout(120_000);
  const scratch = scratchFolder();
  let daemon: Daemon;
  const images = () => scratch.path('daemon', 'images');
  const there = (name: string) => scratch.path('far', name);
  const freeBytes = () => statfsSync(images()).bavail * statfsSync(images()).bsize;

  before(async function () {
    needsNetworks(this);
    needs(this, isRoot, 'needs root to mount');
    needs(this, installed('/usr/sbin/sshd'), 'openssh-server is not installed');
    await mkdir(scratch.path('far'));
    await mkdir(images(), { recursive: true });
    const mounted = await tryRun('mount', ['-t', 'tmpfs', '-o', `size=${String(DISK_MIB)}m`, 'tmpfs', images()]);
    needs(this, mounted.code === 0, `a tmpfs cannot be mounted here: ${mounted.stderr.trim()}`);
    scratch.onEnd(() => sh('umount', images()));
    const hosts = await TwoHosts.connect();
    scratch.onEnd(() => hosts.remove());
    const sshd = await startSshd(scratch.path('sshd'), hosts, hosts.there);
    scratch.onEnd(() => sshd.stop());
    daemon = await Daemon.start(scratch.path('daemon'), {
      toml: `${sshd.toml}[limits]\nspace_overhead_bytes = ${String(OVERHEAD_MIB * MIB)}\n`,
      within: hosts.on(hosts.here),
    });
    scratch.onEnd(() => daemon.stop());
    await sh('bash', '-c', 'yes | head -c "$1" > "$2"', 'bash', String(MUCH_MIB * MIB), there('much'));
    await writeFile(there('little'), noise(MIB));
  });

  checkEach(async () => {
    assert.deepEqual(await daemon.leftovers(), []);
  });

  /** From now on the far host says this of every file; nothing: the truth. */
  const claim = async (lengthBytes?: number, allocatedBytes = lengthBytes) => {
    const stat = scratch.path('sshd', 'bin', 'stat');
    await rm(stat);
    const lie = `file ${String(lengthBytes)} ${String(Math.ceil((allocatedBytes ?? 0) / 512))} 512 claimed`;
    const lies = lengthBytes === undefined ? '' : `case "$*" in *"file %s"*) echo '${lie}'; exit;; esac\n`;
    await writeFile(stat, `#!/bin/sh\n${lies}exec /usr/bin/stat "$@"\n`);
    await chmod(stat, 0o755);
  };
  const pull = (name: string, more: Message = {}) =>
    daemon.stranger.operation('ImageService/CopyImage', {
      source: there(name),
      target: daemon.image('target'),
      remote: { host: THERE.v4, port: BARE_PORT },
      remote_side: 'REMOTE_SIDE_SOURCE',
      engine: 'COPY_ENGINE_RSYNC_SSH',
      ...more,
    });
  /** Why it failed, and the least that was free meanwhile. */
  const refused = async (work: Promise<unknown>) => {
    let least = freeBytes();
    const watch = setInterval(() => (least = Math.min(least, freeBytes())), 2);
    try {
      const { reason, metadata } = await failure(work);
      return { reason, least, planned: metadata['needed'] !== undefined };
    } finally {
      clearInterval(watch);
    }
  };

  const cases: [string, string, () => Promise<unknown>][] = [
    ['holes, and sends data', 'NO_SPACE', () => claim(MUCH_MIB * MIB, 0).then(() => pull('much'))],
    ['a megabyte in use', 'NO_SPACE', () => claim(MIB).then(() => pull('much', { allow_in_use: true }))],
    ['more than there is room for', 'NO_SPACE', () => claim(MUCH_MIB * MIB).then(() => pull('little'))],
    ['nothing, and sends much', 'SOURCE_CHANGED', () => claim(0).then(() => pull('much'))],
    ['a byte less than it sends', 'SOURCE_CHANGED', () => claim(MIB - 1).then(() => pull('little'))],
    ['more than it sends', 'SOURCE_CHANGED', () => claim(100 * MIB).then(() => pull('little'))],
  ];
  for (const [title, expected, work] of cases)
    it(`says ${title}`, async () => {
      const { reason, least, planned } = await refused(work());
      assert.equal(reason, expected);
      assert.ok(least >= OVERHEAD_MIB * MIB, `${String(least)} bytes were free`);
      if (reason === 'NO_SPACE') assert.ok(planned, 'it was refused, the disk was not full');
      await assert.rejects(access(daemon.image('target')));
    });

  it('what is as long as its host says comes in, to the last byte that may be taken', async () => {
    await claim();
    await sh('truncate', '-s', String((DISK_MIB - OVERHEAD_MIB - 1) * MIB), there('much'));
    await pull('much', { overwrite: true });
    assert.ok(await sameBytes(there('much'), daemon.image('target')));
    await rm(daemon.image('target'));
  });

  it('holes that are holes need no room', async () => {
    await claim();
    await sparseFile(there('sparse'), (DISK_MIB + 40) * MIB, [{ at: 5 * MIB, length: MIB }]);
    await pull('sparse');
    assert.ok(await sameBytes(there('sparse'), daemon.image('target')));
  });
});
