/**
 * A role reaches of other hosts what its `remote` names, behind links there too; the daemon's ssh
 * key opens more.
 */
import assert from 'node:assert/strict';
import { mkdir, readFile, readdir, symlink, writeFile } from 'node:fs/promises';
import { Daemon, HOSTLER } from '../../support/daemon.js';
import { installed, needs, needsNetworks } from '../../support/needs.js';
import { SSH_PORT, THERE, TwoHosts, startSshd } from '../../support/hosts/network.js';
import { scratchFolder } from '../../support/scratch.js';
import { tryRun } from '../../support/shell.js';
import { Stranger, failure, type Message } from '../../support/stranger.js';

const ENGINES = ['COPY_ENGINE_RSYNC_SSH', 'COPY_ENGINE_NBD_SSH'];

describe('what a role reaches on a far host', () => {
  const scratch = scratchFolder();
  const there = (name: string) => scratch.path('far', name);
  const callers = new Map<string, Stranger>();
  let daemon: Daemon;
  let config = '';

  before(async function () {
    needsNetworks(this);
    needs(this, installed('/usr/sbin/sshd'), 'openssh-server is not installed');
    for (const name of ['ours/out', 'theirs']) await mkdir(there(name), { recursive: true });
    await writeFile(there('ours/disk.raw'), 'OUR DISK');
    await writeFile(there('theirs/disk.raw'), 'THEIR DISK');
    await symlink(there('theirs'), there('ours/link'));
    await symlink(there('theirs'), there('ours/out/link'));
    await symlink(there('ours'), there('alias'));
    const hosts = await TwoHosts.connect();
    scratch.onEnd(() => hosts.remove());
    const sshd = await startSshd(scratch.path('sshd'), hosts, hosts.there);
    scratch.onEnd(() => sshd.stop());
    const places = (folder: string) =>
      `users = ["nobody"], read = ["${there(folder)}"], write = ["${there(`${folder}/out`)}"]`;
    const roles = {
      none: '',
      ours: `remote = [{ host = "${THERE.v4}", ${places('ours')} }]`,
      alias: `remote = [{ host = "${THERE.v4}", ${places('alias')} }]`,
      other: `remote = [{ host = "other.example", ${places('ours')} }]`,
    };
    const socket = (name: string) => `unix://${scratch.path('daemon', `${name}.sock`)}`;
    const toml = Object.entries(roles).map(([name, remote]) =>
      [
        `[[listeners]]\naddress = "${socket(name)}"\nrole = "${name}"`,
        `[roles.${name}]\nmethods = ["CopyImage"]\nwrite = ["${scratch.path('daemon/images')}"]\n${remote}`,
      ].join('\n'),
    );
    daemon = await Daemon.start(scratch.path('daemon'), {
      toml: `${sshd.toml}\n${toml.join('\n')}`,
      within: hosts.on(hosts.here),
    });
    scratch.onEnd(() => daemon.stop());
    config = scratch.path('daemon/hostler.toml');
    for (const name of Object.keys(roles)) callers.set(name, new Stranger(socket(name)));
    scratch.onEnd(() => {
      for (const caller of callers.values()) caller.close();
      return Promise.resolve();
    });
    await writeFile(daemon.image('here.raw'), 'FROM HERE');
  });

  let count = 0;
  const copy = (who: string, request: Message) =>
    (callers.get(who) ?? daemon.stranger).operation('ImageService/CopyImage', {
      ...request,
      remote: { host: THERE.v4, port: SSH_PORT, ...(request['remote'] as Message | undefined) },
    });
  const pull = (who: string, name: string, more: Message = {}) => {
    const target = daemon.image(`pulled-${String(count++)}`);
    return copy(who, { source: there(name), target, remote_side: 'REMOTE_SIDE_SOURCE', ...more }).then(() => target);
  };
  const push = (who: string, name: string, more: Message = {}) =>
    copy(who, { source: daemon.image('here.raw'), target: there(name), remote_side: 'REMOTE_SIDE_TARGET', ...more });
  const reason = async (call: Promise<unknown>) => (await failure(call)).reason;

  for (const engine of ENGINES) {
    describe(engine, () => {
      it('what it names', async () => {
        assert.equal(await readFile(await pull('ours', 'ours/disk.raw', { engine }), 'utf8'), 'OUR DISK');
        await push('ours', `ours/out/${engine}`, { engine });
        assert.equal(await readFile(there(`ours/out/${engine}`), 'utf8'), 'FROM HERE');
      });
      it('what it names by a link', async () => {
        assert.equal(await readFile(await pull('alias', 'alias/disk.raw', { engine }), 'utf8'), 'OUR DISK');
      });
      it('nothing else, by no name', async () => {
        for (const name of ['theirs/disk.raw', 'ours/link/disk.raw', 'oursx', 'ours/link/not-there'])
          assert.equal(await reason(pull('ours', name, { engine })), 'PATH_OUTSIDE_ROOTS', name);
        for (const name of ['theirs/new', 'ours/out/link/new'])
          assert.equal(await reason(push('ours', name, { engine })), 'PATH_OUTSIDE_ROOTS', name);
        assert.equal(await reason(push('ours', 'ours/new', { engine })), 'ROOT_READ_ONLY');
        assert.deepEqual(await readdir(there('theirs')), ['disk.raw']);
      });
    });
  }
  it('plans neither', async () => {
    assert.equal(await reason(pull('ours', 'ours/link/disk.raw', { plan_only: true })), 'PATH_OUTSIDE_ROOTS');
    assert.equal(await reason(push('ours', 'ours/out/link/new', { plan_only: true })), 'PATH_OUTSIDE_ROOTS');
  });
  it('with no login that it does not name', async () => {
    assert.equal(await reason(pull('ours', 'ours/disk.raw', { remote: { user: 'root' } })), 'METHOD_NOT_ALLOWED');
  });
  it('nothing where it names no host, or another', async () => {
    for (const who of ['none', 'other'])
      assert.equal(await reason(pull(who, 'ours/disk.raw')), 'METHOD_NOT_ALLOWED', who);
  });
  it('everything for an admin', async () => {
    assert.equal(await readFile(await pull('admin', 'ours/link/disk.raw'), 'utf8'), 'THEIR DISK');
  });
  it('is what hostler auth check says', async () => {
    const check = (as: string, ...more: string[]) =>
      tryRun(HOSTLER, [
        ...['auth', 'check', '--config', config, '--as', `unix:${scratch.path('daemon', `${as}.sock`)}`, 'CopyImage'],
        ...[there('ours/disk.raw'), daemon.image('new'), '--far-end', THERE.v4, '--far-side', 'source', ...more],
      ]);
    assert.equal((await check('ours')).code, 0);
    assert.equal((await check('none')).code, 4);
    assert.equal((await check('ours', '--far-user', 'root')).code, 4);
  });
});
