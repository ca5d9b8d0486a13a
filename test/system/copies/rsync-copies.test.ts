/**
 * Copies to and from a host that is reached by ssh: a real sshd in a network namespace of its own.
 */
import assert from 'node:assert/strict';
import { access, appendFile, mkdir, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { begun } from '../../support/begun.js';
import { checkEach } from '../../support/check-each.js';
import { Daemon, HOSTLER } from '../../support/daemon.js';
import { allocatedBytes, noise, sameBytes, sparseFile } from '../../support/images/disks.js';
import { installed, needs, needsNetworks } from '../../support/needs.js';
import { SSH_PORT, THERE, TwoHosts, startSshd } from '../../support/hosts/network.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const MIB = 1024 * 1024;

describe('copies by rsync over ssh', () => {
  const scratch = scratchFolder();
  let hosts: TwoHosts;
  let sshd: Awaited<ReturnType<typeof startSshd>>;
  let daemon: Daemon;
  const here = (name: string) => daemon.image(name);
  const there = (name: string) => scratch.path('far', name);
  const remote = { host: THERE.v4, port: SSH_PORT };
  const send = (source: string, target: string, more: Message = {}) =>
    daemon.stranger.operation('ImageService/CopyImage', {
      source: here(source),
      target: there(target),
      remote,
      engine: 'COPY_ENGINE_RSYNC_SSH',
      ...more,
    });
  const receive = (source: string, target: string, more: Message = {}) =>
    daemon.stranger.operation('ImageService/CopyImage', {
      source: there(source),
      target: here(target),
      remote,
      remote_side: 'REMOTE_SIDE_SOURCE',
      engine: 'COPY_ENGINE_RSYNC_SSH',
      ...more,
    });
  const leftThere = async () => (await readdir(scratch.path('far'))).filter((name) => name.startsWith('.hostler-'));

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
  });

  checkEach(async () => {
    assert.deepEqual(await leftThere(), []);
    assert.deepEqual(await daemon.leftovers(), []);
  });

  for (const length of [0, 1, 511, 513, MIB + 777]) {
    it(`parity row 3: ${String(length)} bytes go there and come back exactly`, async () => {
      const name = `length-${String(length)}`;
      await writeFile(here(name), noise(length));
      const { copy } = (await send(name, name, { verify: true })) as { copy: Message };
      assert.equal(copy['engine'], 'RSYNC_SSH');
      assert.equal(copy['verified'], true);
      assert.equal(copy['length_bytes'] ?? '0', String(length));
      assert.ok(await sameBytes(here(name), there(name)));
      await receive(name, `${name}-back`, { verify: true, compression: false });
      assert.ok(await sameBytes(here(name), here(`${name}-back`)));
    });
  }

  it('parity row 3: holes stay holes, by IPv6 too', async () => {
    await sparseFile(here('sparse'), 256 * MIB, [{ at: 100 * MIB, length: 3 * MIB }]);
    await send('sparse', 'sparse', { remote: { host: THERE.v6, port: SSH_PORT } });
    await receive('sparse', 'sparse-back', { remote: { host: THERE.v6, port: SSH_PORT } });
    for (const copy of [there('sparse'), here('sparse-back')]) {
      assert.ok(await sameBytes(here('sparse'), copy));
      assert.ok((await allocatedBytes(copy)) <= (await allocatedBytes(here('sparse'))) * 1.02 + 65536);
    }
  });

  it('parity row 3: a qcow2 container is bytes like any other', async () => {
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', here('box.qcow2'), '8G');
    await send('box.qcow2', 'box.qcow2');
    assert.ok(await sameBytes(here('box.qcow2'), there('box.qcow2')));
  });

  for (const name of [
    `it's "q" \`x\` Größe-磁盘`,
    '-two\nlines $(touch never)$HOME',
    'a*[b]?{c,d}\\e;f|g&h>i:j',
    'n'.repeat(255),
  ]) {
    it(`a file named ${JSON.stringify(name)} goes there and comes back`, async () => {
      // What a pattern would match instead.
      await writeFile(there('a_b_c_e;f|g&h>i:j'), 'wrong');
      await writeFile(here(name), noise(1000));
      await send(name, name);
      assert.ok(await sameBytes(here(name), there(name)));
      await receive(name, `${name.slice(0, 20)}-back`);
      assert.ok(await sameBytes(here(name), here(`${name.slice(0, 20)}-back`)));
    });
  }

  it('follows a link at the far end', async () => {
    await writeFile(there('behind'), noise(100));
    await symlink('behind', there('link'));
    await receive('link', 'followed');
    assert.ok(await sameBytes(there('behind'), here('followed')));
  });

  it('what was sent before a line broke and is never asked for again does not stay for ever', async () => {
    const { agent } = daemon.records().find(({ message }) => message === 'SERVING') as { agent: string };
    const [old, young] = ['old', 'young'].map((name) => there(`.hostler-far-${agent}-${name}`)) as [string, string];
    for (const folder of [old, young]) await mkdir(folder);
    await sh('touch', '-d', '2 days ago', old);
    await writeFile(here('sweeper'), 'x');
    await send('sweeper', 'sweeper');
    assert.deepEqual(await leftThere(), [basename(young)]);
    await rm(young, { recursive: true });
  });

  it('sets owner and mode at either end', async () => {
    await writeFile(here('owned'), 'x');
    await send('owned', 'owned', { attributes: { owner: '12', group: '34', mode: 0o640 } });
    assert.equal((await sh('stat', '-c', '%u:%g %a', there('owned'))).trim(), '12:34 640');
    await receive('owned', 'owned-back');
    assert.equal((await sh('stat', '-c', '%u:%g %a', here('owned-back'))).trim(), '0:0 600');
  });

  it('does not replace unless told to', async () => {
    await writeFile(here('new'), 'new');
    await writeFile(there('old'), 'old');
    assert.equal((await failure(send('new', 'old'))).reason, 'TARGET_EXISTS');
    assert.equal(await readFile(there('old'), 'utf8'), 'old');
    await send('new', 'old', { overwrite: true });
    assert.equal(await readFile(there('old'), 'utf8'), 'new');
    await mkdir(there('folder'), { recursive: true });
    assert.equal((await failure(send('new', 'folder', { overwrite: true }))).reason, 'NOT_A_FILE');
  });

  it('plans without changing anything', async () => {
    await writeFile(here('planned'), noise(1000));
    const auto = { plan_only: true, engine: 'COPY_ENGINE_AUTO' };
    const there_ = (await send('planned', 'planned', auto))['plan'] as Message;
    assert.equal(there_['method'], 'RSYNC_SSH');
    assert.match(String(there_['why']), /no agent of .* is configured/);
    assert.ok(Number(there_['free_bytes']) > 0);
    await assert.rejects(access(there('planned')));
  });

  it('says what is wrong at the far end', async () => {
    await writeFile(here('x'), 'x');
    const reason = async (call: Promise<unknown>) => (await failure(call)).reason;
    assert.equal(await reason(receive('nothing', 'y')), 'IMAGE_NOT_FOUND');
    await mkdir(there('a-folder'));
    assert.equal(await reason(receive('a-folder', 'y')), 'NOT_A_FILE');
    assert.equal(await reason(send('x', 'no-folder/y')), 'PARENT_NOT_FOUND');
    assert.equal(await reason(send('x', 'y', { remote: { host: THERE.v4, port: 1 } })), 'REMOTE_UNREACHABLE');
    assert.equal(await reason(send('x', 'y', { remote: { host: 'no.such.host.invalid' } })), 'REMOTE_UNREACHABLE');
    assert.equal(await reason(send('x', 'y', { remote: { ...remote, user: 'nobody' } })), 'REMOTE_REFUSED');
  });

  it('a host that could be an option, or is none, never reaches a command line', async () => {
    await writeFile(here('x'), 'x');
    for (const host of ['-oProxyCommand=touch /tmp/never', 'a b', 'a;b', '', '.x'])
      assert.deepEqual((await failure(send('x', 'y', { remote: { host } }))).fields, ['remote.host'], host);
    assert.deepEqual((await failure(send('x', 'y', { remote: { ...remote, user: '-x' } }))).fields, ['remote.user']);
    assert.deepEqual((await failure(send('x', 'y', { engine: 'COPY_ENGINE_REFLINK' }))).fields, ['engine']);
    assert.deepEqual((await failure(send('x', 'y', { preserve_allocation: true }))).fields, ['preserve_allocation']);
  });

  it('a wrong or unknown host key is refused', async () => {
    const known = await readFile(sshd.knownHosts, 'utf8');
    await writeFile(here('x'), 'x');
    try {
      await sh('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', scratch.path('other_key'));
      const other = (await readFile(scratch.path('other_key.pub'), 'utf8')).split(' ').slice(0, 2).join(' ');
      await writeFile(sshd.knownHosts, `[${THERE.v4}]:${String(SSH_PORT)} ${other}\n`);
      assert.equal((await failure(send('x', 'untrusted'))).reason, 'REMOTE_NOT_TRUSTED');
      await writeFile(sshd.knownHosts, '');
      assert.equal((await failure(send('x', 'untrusted'))).reason, 'REMOTE_NOT_TRUSTED');
      assert.equal(await readFile(sshd.knownHosts, 'utf8'), '');
    } finally {
      await writeFile(sshd.knownHosts, known);
    }
  });

  it('a limit of the rate holds, progress is shown, and a cancel leaves nothing on either end', async () => {
    await writeFile(here('slow'), noise(8 * MIB));
    await send('slow', 'slow-there');
    for (const start of [
      { source: here('slow'), target: there('slow'), remote },
      { source: there('slow-there'), target: here('slow-back'), remote, remote_side: 'REMOTE_SIDE_SOURCE' },
    ]) {
      const stream = daemon.stranger.stream('ImageService/CopyImage', {
        ...start,
        bandwidth_bytes_per_second: '1000000',
      });
      const seen: Message[] = [];
      stream.on('error', () => undefined);
      await new Promise<void>((resolve) =>
        stream.on('data', (event: Message) => {
          seen.push(event);
          if (Number((event['progress'] as Message | undefined)?.['done_bytes'] ?? 0) > MIB) resolve();
        }),
      );
      const id = seen[0]?.['operation_id'];
      await daemon.stranger.unary('OperationService/CancelOperation', { operation_id: id });
      assert.ok(seen.some((event) => event['pid'] !== undefined));
      await assert.rejects(access(start.target));
      assert.deepEqual(await leftThere(), []);
    }
  });

  it('a source that changes meanwhile is noticed', async () => {
    await writeFile(here('moving'), noise(4 * MIB));
    const slowly = { source: here('moving'), target: there('moving'), remote, bandwidth_bytes_per_second: '2000000' };
    const { failed } = await begun(daemon.stranger, 'ImageService/CopyImage', slowly);
    await appendFile(here('moving'), 'more');
    assert.equal((await failed).reason, 'SOURCE_CHANGED');
    await assert.rejects(access(there('moving')));
  });

  it('a line that is cut for 5 s, less than the dead line, costs nothing but time', async () => {
    const toml = sshd.toml.replace('dead_line_seconds = 3', 'dead_line_seconds = 15');
    const patient = await Daemon.start(scratch.path('patient'), { toml, within: hosts.on(hosts.here) });
    try {
      await writeFile(patient.image('short'), noise(6 * MIB));
      const request = {
        source: patient.image('short'),
        target: there('short'),
        remote,
        engine: 'COPY_ENGINE_RSYNC_SSH',
      };
      const slowly = { ...request, bandwidth_bytes_per_second: '1000000', compression: false };
      const { id } = await begun(patient.stranger, 'ImageService/CopyImage', { ...slowly, detach: true }, MIB);
      await hosts.cut();
      // So long the line is away.
      await sleep(5000);
      await hosts.mend();
      await patient.stranger.all('OperationService/WatchOperation', { operation_id: id });
      assert.ok(await sameBytes(patient.image('short'), there('short')));
    } finally {
      await patient.stop();
    }
  });

  it('a line that is gone for good is given up, and the same call goes on where it ended', async function () {
    this.timeout(90_000);
    await writeFile(here('cut'), noise(6 * MIB));
    const request = { source: here('cut'), target: there('cut'), remote, engine: 'COPY_ENGINE_RSYNC_SSH' };
    const slowly = { ...request, bandwidth_bytes_per_second: '1000000', compression: false };
    const { failed } = await begun(daemon.stranger, 'ImageService/CopyImage', slowly, 2 * MIB);
    await hosts.cut();
    try {
      assert.equal((await failed).reason, 'REMOTE_UNREACHABLE');
    } finally {
      await hosts.mend();
    }
    const { copy } = (await send('cut', 'cut', { compression: false })) as { copy: Message };
    assert.ok(await sameBytes(here('cut'), there('cut')));
    assert.ok(Number(copy['moved_bytes']) < 6 * MIB, String(copy['moved_bytes']));
  });

  it('the command copies there and back', async () => {
    await writeFile(here('cli'), noise(1000));
    const hostler = (...args: string[]) => tryRun(HOSTLER, ['--address', daemon.address, 'image', 'copy', ...args]);
    const to = await hostler(here('cli'), there('cli'), '--to', THERE.v4, '--port', String(SSH_PORT));
    assert.equal(to.code, 0, to.stderr);
    const from = await hostler(there('cli'), here('cli-back'), '--from', THERE.v4, '--port', String(SSH_PORT));
    assert.equal(from.code, 0, from.stderr);
    assert.ok(await sameBytes(here('cli'), here('cli-back')));
  });
});
