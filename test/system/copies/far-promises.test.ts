/**
 * What this side promises holds at the far end of a copy by ssh too: files in use, owners, modes,
 * space, leftovers, words.
 */
import assert from 'node:assert/strict';
import { chmod, chown, mkdir, readFile, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import { ACCESS_ACL } from '../../../src/adapters/rights/acl.js';
import { Xattrs } from '../../../src/adapters/rights/xattrs.js';
import { begun } from '../../support/begun.js';
import { checkEach } from '../../support/check-each.js';
import { Daemon } from '../../support/daemon.js';
import { noise, onSmallDisk, sameBytes } from '../../support/images/disks.js';
import { installed, needs, needsNetworks } from '../../support/needs.js';
import { GREETING_PORT, SSH_PORT, THERE, TwoHosts, startSshd } from '../../support/hosts/network.js';
import { whileHeld } from '../../support/processes.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const MIB = 1024 * 1024;
const GUEST = 64_055;

describe('the far end of a copy by ssh', function () {
  this.timeout(120_000);
  const scratch = scratchFolder();
  let hosts: TwoHosts;
  let sshd: Awaited<ReturnType<typeof startSshd>>;
  let daemon: Daemon;
  const here = (name: string) => daemon.image(name);
  const there = (name: string) => scratch.path('far', name);
  const copy = async (request: Message) =>
    (await daemon.stranger.operation('ImageService/CopyImage', request))['copy'] as Message;
  const left = async (folder = 'far') =>
    (await readdir(scratch.path(folder))).filter((name) => name.startsWith('.hostler-'));

  before(async function () {
    needsNetworks(this);
    needs(this, installed('/usr/sbin/sshd'), 'openssh-server is not installed');
    await mkdir(scratch.path('far'));
    hosts = await TwoHosts.connect();
    scratch.onEnd(() => hosts.remove());
    sshd = await startSshd(scratch.path('sshd'), hosts, hosts.there);
    scratch.onEnd(() => sshd.stop());
    daemon = await Daemon.start(scratch.path('daemon'), { toml: sshd.toml, within: hosts.on(hosts.here) });
    scratch.onEnd(() => daemon.stop());
    await writeFile(here('new'), noise(MIB));
  });
  checkEach(async () => {
    await until(async () => (await left()).length === 0);
    assert.deepEqual(await daemon.leftovers(), []);
  });

  for (const engine of ['NBD_SSH', 'RSYNC_SSH']) {
    const common = { remote: { host: THERE.v4, port: SSH_PORT }, engine: `COPY_ENGINE_${engine}`, overwrite: true };
    const send = (name: string, more: Message = {}) =>
      copy({ source: here('new'), target: there(name), ...common, ...more });
    const receive = (name: string, more: Message = {}) =>
      copy({
        ...{ source: there(name), target: here(`${engine}-${name}`), remote_side: 'REMOTE_SIDE_SOURCE' },
        ...common,
        ...more,
      });

    describe(`by ${engine}`, () => {
      // Either engine with one of them: both look at the same locks.
      for (const format of engine === 'NBD_SSH' ? ['raw'] : ['qcow2'])
        it(`replaces and reads no ${format} that a guest writes, unless the caller knows better`, async () => {
          const name = `held-${format}`;
          await sh('qemu-img', 'create', '-q', '-f', format, there(name), '1M');
          const { ino } = await stat(there(name));
          await whileHeld(
            there(name),
            scratch.path('held'),
            async () => {
              assert.equal((await failure(send(name))).reason, 'IMAGE_IN_USE');
              assert.equal((await failure(receive(name))).reason, 'IMAGE_IN_USE');
              await receive(name, { allow_in_use: true });
            },
            ['-f', format],
          );
          assert.equal((await stat(there(name))).ino, ino);
          await send(name);
          assert.ok(await sameBytes(here('new'), there(name)));
        });
      it('reads what a guest reads, and does not replace it', async () => {
        await writeFile(there('shared'), noise(MIB, 5));
        await whileHeld(
          there('shared'),
          scratch.path('held'),
          async () => {
            await receive('shared');
            assert.equal((await failure(send('shared'))).reason, 'IMAGE_IN_USE');
          },
          ['-f', 'raw', '-r'],
        );
      });
      it('leaves a file that it replaces its owner, mode and access list; set-id bits go', async function () {
        const xattrs = Xattrs.load('itself');
        needs(this, xattrs !== undefined, 'koffi has no build for this host');
        for (const [name, mode, kept] of [
          ['plain', 0o644, 0o644],
          ['closed', 0o000, 0o000],
          ['set-id', 0o6755, 0o755],
        ] as const) {
          await writeFile(there(name), 'old');
          await chown(there(name), GUEST, GUEST + 1);
          await chmod(there(name), mode);
          xattrs?.set(there(name), 'user.note', Buffer.from(name));
          await send(name);
          const found = await stat(there(name));
          assert.deepEqual([found.uid, found.gid, found.mode & 0o7777], [GUEST, GUEST + 1, kept], name);
          assert.equal(xattrs?.get(there(name), 'user.note')?.toString(), name);
          assert.equal(xattrs.get(there(name), ACCESS_ACL), undefined);
        }
        await send('plain', { attributes: { owner: '7', mode: 0o640 } });
        const given = await stat(there('plain'));
        assert.deepEqual([given.uid, given.gid, given.mode & 0o7777], [7, GUEST + 1, 0o640]);
      });
      it('gives a new file, and one in the place of a link, to nobody else', async () => {
        await writeFile(there('led to'), 'x');
        await chown(there('led to'), GUEST, GUEST);
        await symlink('led to', there(`link-${engine}`));
        for (const name of [`link-${engine}`, `new-${engine}`]) {
          await send(name);
          const found = await stat(there(name));
          assert.deepEqual([found.uid, found.mode & 0o7777], [0, 0o600], name);
        }
        assert.equal(await readFile(there('led to'), 'utf8'), 'x');
      });
      it('that fills while it is written says so, and keeps nothing of it', async () => {
        await writeFile(here('large'), noise(6 * MIB));
        await onSmallDisk(sshd.pid, there(`small-${engine}`), 8, async (fill) => {
          const target = there(`small-${engine}/target`);
          const request = { source: here('large'), target, ...common, bandwidth_bytes_per_second: String(2 * MIB) };
          const { failed } = await begun(daemon.stranger, 'ImageService/CopyImage', { ...request, compression: false });
          await fill();
          const error = await failed;
          assert.equal(error.reason, 'NO_SPACE', error.message);
          const inside = await sh('nsenter', '-m', '-t', String(sshd.pid), 'ls', '-A', there(`small-${engine}`));
          assert.equal(inside.trim(), 'fill');
        });
      });
      it('whose login shell greets is understood', async () => {
        const remote = { host: THERE.v4, port: GREETING_PORT };
        if (engine === 'RSYNC_SSH') {
          // rsync itself takes no greeting; the words say whose fault that is.
          const error = await failure(send('greeted', { remote }));
          assert.ok(!['NO_SPACE', 'IMAGE_NOT_FOUND', 'INTERNAL'].includes(error.reason), error.message);
          return;
        }
        await send('greeted', { remote });
        assert.ok(await sameBytes(here('new'), there('greeted')));
        await receive('greeted', { remote });
        assert.ok(await sameBytes(there('greeted'), here(`${engine}-greeted`)));
      });
    });
  }
});
