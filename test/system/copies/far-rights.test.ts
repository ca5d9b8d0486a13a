/**
 * A file that is replaced by a copy to or from another host has beside owner and mode what it had,
 * or the operation warns.
 */
import assert from 'node:assert/strict';
import { chmod, chown, copyFile, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { ACCESS_ACL, CAPABILITY, DEFAULT_ACL } from '../../../src/adapters/rights/acl.js';
import { Xattrs } from '../../../src/adapters/rights/xattrs.js';
import { noise, sameBytes } from '../../support/images/disks.js';
import { installed, needs, needsNetworks } from '../../support/needs.js';
import { BARE_PORT, SSH_PORT, THERE } from '../../support/hosts/network.js';
import { GUEST, listFor } from '../../support/rights/access-list.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import type { Message } from '../../support/stranger.js';
import { TwoAgents } from '../../support/hosts/two-agents.js';

const PULLS = '[pulls]\npatience_seconds = 0\nstall_seconds = 5\n';

describe('what a copy between hosts replaces', function () {
  this.timeout(120_000);
  const scratch = scratchFolder();
  let agents: TwoAgents;
  let xattrs: Xattrs;
  const here = (name: string) => agents.a.image(name);
  const there = (name: string) => agents.b.image(name);

  before(async function () {
    needsNetworks(this);
    needs(this, installed('/usr/sbin/sshd'), 'openssh-server is not installed');
    const loaded = Xattrs.load('itself');
    needs(this, loaded !== undefined, 'koffi has no build for this host');
    assert.ok(loaded !== undefined);
    xattrs = loaded;
    agents = await TwoAgents.start(scratch, PULLS);
    await agents.addSsh(['cp']);
    for (const at of [here, there]) {
      await writeFile(at('new'), noise(65_536));
      // What new files below it get is not what a file had that they replace.
      await mkdir(at('giving'));
      xattrs.set(at('giving'), DEFAULT_ACL, listFor());
    }
  });

  const ssh = (engine: string) => ({ remote: { host: THERE.v4, port: SSH_PORT }, engine: `COPY_ENGINE_${engine}` });
  const source = { remote_side: 'REMOTE_SIDE_SOURCE' };
  interface Way {
    readonly by: 'a' | 'b';
    readonly to: 'a' | 'b';
    readonly request: (target: string) => Message;
  }
  const send = (engine: string): Way => ({
    by: 'a',
    to: 'b',
    request: (target) => ({ source: here('new'), target: there(target), ...ssh(engine) }),
  });
  const receive = (engine: string): Way => ({
    by: 'a',
    to: 'a',
    request: (target) => ({ source: there('new'), target: here(target), ...ssh(engine), ...source }),
  });
  const WAYS: Readonly<Record<string, Way>> = {
    'pulled by an agent': { by: 'b', to: 'b', request: (target) => agents.pullRequest('new', target) },
    'pushed by an agent': { by: 'a', to: 'b', request: (target) => agents.pushRequest('new', target) },
    'received from a far qemu-nbd': receive('NBD_SSH'),
    'sent to a far qemu-nbd': send('NBD_SSH'),
    'received by rsync': receive('RSYNC_SSH'),
    'sent by rsync': send('RSYNC_SSH'),
  };
  /** Replaces a file; what the operation warns of. */
  const replace = async ({ by, request }: Way, target: string, more: Message = {}) => {
    const { stranger } = agents[by];
    const events = await stranger.all('ImageService/CopyImage', { ...request(target), overwrite: true, ...more });
    const { operation } = await stranger.unary('OperationService/GetOperation', {
      operation_id: events[0]?.['operation_id'],
    });
    return ((operation as Message)['warnings'] ?? []) as readonly { reason: string; message: string }[];
  };

  for (const [title, way] of Object.entries(WAYS)) {
    const at = (name: string) => (way.to === 'a' ? here(name) : there(name));
    describe(title, () => {
      it('has its access list, label, attributes and owner; capabilities go, and the operation warns', async () => {
        await copyFile('/bin/true', at(title));
        await chown(at(title), GUEST, 4100);
        xattrs.set(at(title), ACCESS_ACL, listFor());
        xattrs.set(at(title), 'user.note', Buffer.from('of mine'));
        xattrs.set(at(title), 'trusted.label', Buffer.from([0, 1, 10, 2]));
        await sh('setcap', 'cap_net_raw+ep', at(title));
        const warnings = await replace(way, title);
        assert.deepEqual(
          warnings.map(({ reason }) => reason),
          ['RIGHTS_NOT_KEPT'],
        );
        assert.match(String(warnings[0]?.message), /capabilities/);
        assert.equal(xattrs.get(at(title), CAPABILITY), undefined);
        assert.deepEqual(xattrs.get(at(title), ACCESS_ACL), listFor());
        assert.equal(xattrs.get(at(title), 'user.note')?.toString(), 'of mine');
        assert.deepEqual(xattrs.get(at(title), 'trusted.label'), Buffer.from([0, 1, 10, 2]));
        const { uid, gid, mode } = await stat(at(title));
        assert.deepEqual([uid, gid, mode & 0o7777], [GUEST, 4100, 0o660]);
        assert.ok(await sameBytes(here('new'), at(title)));
      });
      it('without a list it has none, below a folder that gives one to new files, and nothing is warned of', async () => {
        const name = `giving/${title}`;
        await writeFile(at(name), 'old');
        xattrs.remove(at(name), ACCESS_ACL);
        await chmod(at(name), 0o640);
        assert.deepEqual(await replace(way, name), []);
        assert.equal(xattrs.get(at(name), ACCESS_ACL), undefined);
        assert.equal((await stat(at(name))).mode & 0o7777, 0o640);
      });
    });
  }

  describe('on a host that cannot carry it', () => {
    const bare = { remote: { host: THERE.v4, port: BARE_PORT } };
    const way = send('RSYNC_SSH');
    it('loses an access list with a warning, and its group gets nothing: the mode has shown the mask', async () => {
      await writeFile(there('listed'), 'old');
      xattrs.set(there('listed'), ACCESS_ACL, listFor());
      const warnings = await replace(way, 'listed', bare);
      assert.deepEqual(
        warnings.map(({ reason }) => reason),
        ['RIGHTS_NOT_KEPT'],
      );
      assert.match(String(warnings[0]?.message), /cp.*not found/);
      assert.equal(xattrs.get(there('listed'), ACCESS_ACL), undefined);
      assert.equal((await stat(there('listed'))).mode & 0o7777, 0o600);
    });
    it('without a list it keeps owner and mode, and a mode that is given counts', async () => {
      await writeFile(there('plain'), 'old');
      await chown(there('plain'), GUEST, GUEST);
      await chmod(there('plain'), 0o2664);
      await replace(way, 'plain', bare);
      const { uid, gid, mode } = await stat(there('plain'));
      assert.deepEqual([uid, gid, mode & 0o7777], [GUEST, GUEST, 0o664]);
      await replace(way, 'plain', { ...bare, attributes: { mode: 0o640 } });
      assert.equal((await stat(there('plain'))).mode & 0o7777, 0o640);
      assert.ok((await readFile(there('plain'))).equals(noise(65_536)));
    });
  });
});
