/**
 * Images of hosts that are reached by ssh and not trusted are looked at before they get a name in a
 * trusted root.
 */
import assert from 'node:assert/strict';
import { mkdir, readdir, stat, truncate, writeFile } from 'node:fs/promises';
import { checkEach } from '../../support/check-each.js';
import { Daemon } from '../../support/daemon.js';
import { noise, sameBytes, sparseFile } from '../../support/images/disks.js';
import { installed, needs, needsNetworks } from '../../support/needs.js';
import { SSH_PORT, THERE, TwoHosts, startSshd } from '../../support/hosts/network.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const MIB = 1024 * 1024;
/** The same host by two names, of which the configuration trusts one. */
const [STRANGER, FRIEND] = [THERE.v4, THERE.v6];
const LARGEST = 96 * MIB;

describe('images of far hosts that are not trusted', function () {
  this.timeout(120_000);
  const scratch = scratchFolder();
  let daemon: Daemon;
  const there = (name: string) => scratch.path('far', name);
  const pull = (name: string, engine: string, host: string, target = daemon.image(name)) =>
    daemon.stranger.operation('ImageService/CopyImage', {
      source: there(name),
      target,
      remote: { host, port: SSH_PORT },
      remote_side: 'REMOTE_SIDE_SOURCE',
      engine: `COPY_ENGINE_${engine}`,
      overwrite: true,
    });

  before(needsSandbox);
  before(async function () {
    needsNetworks(this);
    needs(this, installed('/usr/sbin/sshd'), 'openssh-server is not installed');
    await mkdir(scratch.path('far'));
    await mkdir(scratch.path('drop'));
    const hosts = await TwoHosts.connect();
    scratch.onEnd(() => hosts.remove());
    const sshd = await startSshd(scratch.path('sshd'), hosts, hosts.there);
    scratch.onEnd(() => sshd.stop());
    daemon = await Daemon.start(scratch.path('daemon'), {
      toml: `${sshd.toml}trusted_hosts = ["${FRIEND}"]\n[limits.foreign]\nimage_bytes = ${String(LARGEST)}\n`,
      roots: `[[roots]]\npath = "${scratch.path('daemon')}/images"\n[[roots]]\npath = "${scratch.path('drop')}"\ntrusted = false\n`,
      within: hosts.on(hosts.here),
    });
    scratch.onEnd(() => daemon.stop());
  });

  checkEach(async () => {
    assert.deepEqual(await daemon.leftovers(), []);
    assert.deepEqual(
      (await readdir(scratch.path('far'))).filter((name) => name.startsWith('.hostler-')),
      [],
    );
  });

  const disk = async () => {
    await writeFile(there('disk'), noise(3 * MIB));
    return there('disk');
  };
  const cut = async (format: string, options: readonly string[] = []) => {
    const path = there(`cut.${format}`);
    await sh('qemu-img', 'convert', '-f', 'raw', '-O', format, ...options, await disk(), path);
    await truncate(path, MIB);
  };
  /** What makes it over there, and why it is refused. */
  const BAD: Readonly<Record<string, readonly [() => Promise<unknown>, string]>> = {
    'overlay.qcow2': [
      () =>
        sh(
          'qemu-img',
          'create',
          '-q',
          '-f',
          'qcow2',
          '-u',
          '-F',
          'raw',
          '-b',
          '/etc/passwd',
          there('overlay.qcow2'),
          '1M',
        ),
      'IMAGE_UNSAFE',
    ],
    'hint.vmdk': [
      async () => {
        await sh('qemu-img', 'create', '-q', '-f', 'vmdk', there('base.vmdk'), '1M');
        await sh('qemu-img', 'create', '-q', '-f', 'vmdk', '-F', 'vmdk', '-b', there('base.vmdk'), there('hint.vmdk'));
      },
      'IMAGE_UNSAFE',
    ],
    'data.qcow2': [
      () =>
        sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', `data_file=${there('data')}`, there('data.qcow2'), '1M'),
      'IMAGE_UNSAFE',
    ],
    'cut.qcow2': [() => cut('qcow2'), 'IMAGE_MALFORMED'],
    'cut.vmdk': [() => cut('vmdk'), 'IMAGE_MALFORMED'],
    'large.raw': [() => sparseFile(there('large.raw'), LARGEST + MIB, [{ at: 0, length: MIB }]), 'IMAGE_TOO_LARGE'],
  };
  /** Whichever engine brings them. */
  const BROUGHT: Readonly<Record<string, { readonly bad: readonly string[]; readonly honest: readonly string[] }>> = {
    RSYNC_SSH: { bad: ['overlay.qcow2', 'hint.vmdk', 'data.qcow2', 'cut.qcow2', 'large.raw'], honest: ['vmdk', 'raw'] },
    NBD_SSH: { bad: ['overlay.qcow2', 'cut.vmdk', 'large.raw'], honest: ['qcow2'] },
  };
  for (const [engine, { bad, honest }] of Object.entries(BROUGHT)) {
    for (const name of bad)
      it(`${engine}: ${name} is refused`, async () => {
        const [make, reason] = BAD[name] ?? assert.fail(name);
        await make();
        assert.equal((await failure(pull(name, engine, STRANGER))).reason, reason);
        await assert.rejects(stat(daemon.image(name)), { code: 'ENOENT' });
      });

    it(`${engine}: of the trusted host a cut image is bytes`, async () => {
      await cut('vdi');
      await pull('cut.vdi', engine, FRIEND);
      assert.ok(await sameBytes(there('cut.vdi'), daemon.image('cut.vdi')));
    });

    for (const format of honest)
      it(`${engine}: an honest ${format} comes through`, async () => {
        await sh('qemu-img', 'convert', '-f', 'raw', '-O', format, await disk(), there(`whole.${format}`));
        await pull(`whole.${format}`, engine, STRANGER);
        assert.ok(await sameBytes(there(`whole.${format}`), daemon.image(`whole.${format}`)));
      });
  }

  it('bytes of any length come through', async () => {
    await writeFile(there('odd'), noise(MIB + 777));
    await pull('odd', 'RSYNC_SSH', STRANGER);
    assert.ok(await sameBytes(there('odd'), daemon.image('odd')));
  });

  it('in an untrusted root they are bytes, and looked at there', async () => {
    await cut('qcow2');
    const target = scratch.path('drop', 'cut.qcow2');
    await pull('cut.qcow2', 'RSYNC_SSH', STRANGER, target);
    assert.ok(await sameBytes(there('cut.qcow2'), target));
    const request: Message = { source: target, target: daemon.image('taken') };
    const { reason } = await failure(daemon.stranger.operation('ImageService/CopyImage', request));
    assert.equal(reason, 'IMAGE_MALFORMED');
  });
});
