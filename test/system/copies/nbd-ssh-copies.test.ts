/**
 * Copies to and from a host that has no agent but qemu-nbd, by its socket through ssh; nothing
 * stays there.
 */
import assert from 'node:assert/strict';
import { access, appendFile, mkdir, readFile, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { begun } from '../../support/begun.js';
import { checkEach } from '../../support/check-each.js';
import { Daemon } from '../../support/daemon.js';
import { allocatedBytes, noise, onSmallDisk, sameBytes, sparseFile } from '../../support/images/disks.js';
import { installed, needs, needsNetworks } from '../../support/needs.js';
import { BARE_PORT, SSH_PORT, STRICT_PORT, THERE, TwoHosts, startSshd } from '../../support/hosts/network.js';
import { whileHeld } from '../../support/processes.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const MIB = 1024 * 1024;
/** Small, so that a test has many segments; a broken line is not waited for. */
const PULLS = '[pulls]\nsegment_mib = 4\npatience_seconds = 0\nstall_seconds = 5\n';
/** Several times the dead line of the tests. */
const SILENCE_MS = 30_000;

describe('copies by a far qemu-nbd through ssh', function () {
  this.timeout(120_000);
  const scratch = scratchFolder();
  let hosts: TwoHosts;
  let sshd: Awaited<ReturnType<typeof startSshd>>;
  let daemon: Daemon;
  const here = (name: string) => daemon.image(name);
  const there = (name: string) => scratch.path('far', name);
  const remote = { host: THERE.v4, port: SSH_PORT };
  const common = { remote, engine: 'COPY_ENGINE_NBD_SSH' };
  const sending = (name: string, target: string) => ({ source: here(name), target: there(target), ...common });
  const receiving = (name: string, target: string) => ({
    ...{ source: there(name), target: here(target), ...common },
    remote_side: 'REMOTE_SIDE_SOURCE',
  });
  const copy = async (request: Message, more: Message = {}) =>
    (await daemon.stranger.operation('ImageService/CopyImage', { ...request, ...more }))['copy'] as Message;
  const reasonOf = async (call: Promise<unknown>) => (await failure(call)).reason;
  /** Servers, sockets' folders and private folders over there. */
  const leftThere = async () => {
    const pids = (await sh('ip', 'netns', 'pids', hosts.there)).split('\n').filter((pid) => pid !== '');
    const words = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')));
    return [
      ...words.filter((each) => each.startsWith('qemu-nbd')),
      ...(await readdir('/tmp')).filter((name) => /^hostler-[0-9a-f]{20}$/.test(name)),
      ...(await readdir(scratch.path('far'))).filter((name) => name.startsWith('.hostler-')),
    ];
  };
  const nothingThere = (ms?: number) => until(async () => (await leftThere()).length === 0, ms);
  /** A slow copy, some of which has gone over. */
  const slow = (request: Message) =>
    begun(daemon.stranger, 'ImageService/CopyImage', { ...request, bandwidth_bytes_per_second: String(2 * MIB) });

  before(async function () {
    needsNetworks(this);
    needs(this, installed('/usr/sbin/sshd'), 'openssh-server is not installed');
    await mkdir(scratch.path('far'));
    hosts = await TwoHosts.connect();
    scratch.onEnd(() => hosts.remove());
    sshd = await startSshd(scratch.path('sshd'), hosts, hosts.there, ['qemu-nbd']);
    scratch.onEnd(() => sshd.stop());
    const toml = `${sshd.toml}${PULLS}`;
    daemon = await Daemon.start(scratch.path('daemon'), { toml, within: hosts.on(hosts.here) });
    scratch.onEnd(() => daemon.stop());
  });

  checkEach(async () => {
    await nothingThere();
    assert.deepEqual(await daemon.leftovers(), []);
  });

  for (const length of [0, 1, 511, 513, MIB + 777]) {
    it(`parity row 3: ${String(length)} bytes go there and come back exactly`, async () => {
      const name = `length-${String(length)}`;
      await writeFile(here(name), noise(length));
      const sent = await copy(sending(name, name), { verify: true });
      assert.equal(sent['engine'], 'NBD_SSH');
      assert.equal(sent['verified'], true);
      assert.equal(sent['length_bytes'] ?? '0', String(length));
      assert.ok(await sameBytes(here(name), there(name)));
      await copy(receiving(name, `${name}-back`), { verify: true });
      assert.ok(await sameBytes(here(name), here(`${name}-back`)));
    });
  }

  it('parity row 3: holes stay holes and are not moved, by IPv6 too; AUTO takes it for a file with holes', async () => {
    const pieces = Array.from({ length: 12 }, (_, index) => ({ at: index * 20 * MIB + 4096, length: MIB }));
    await sparseFile(here('sparse'), 256 * MIB, pieces);
    const auto = { engine: 'COPY_ENGINE_AUTO', remote: { host: THERE.v6, port: SSH_PORT }, verify: true };
    const copies = [
      await copy(sending('sparse', 'sparse'), auto),
      await copy(receiving('sparse', 'sparse-back'), auto),
    ];
    for (const { engine, why, moved_bytes: moved } of copies) {
      assert.equal(engine, 'NBD_SSH');
      assert.match(String(why), /no agent of .* is configured; it has qemu-nbd, so the data, 4 % of the file/);
      assert.ok(Number(moved) <= 13 * MIB, String(moved));
    }
    for (const path of [there('sparse'), here('sparse-back')]) {
      assert.ok(await sameBytes(here('sparse'), path));
      const [before, after] = [await allocatedBytes(here('sparse')), await allocatedBytes(path)];
      assert.ok(Math.abs(after - before) <= before * 0.02 + 65536, `${String(before)} ${String(after)}`);
    }
  });

  it('parity row 3: 8 TiB of hole go there and come back', async () => {
    await writeFile(here('huge'), '');
    await truncate(here('huge'), 8 * 1024 ** 4);
    await copy(sending('huge', 'huge'));
    await copy(receiving('huge', 'huge-back'), { verify: true });
    for (const path of [there('huge'), here('huge-back')]) {
      assert.equal(
        (await sh('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', here('huge'), path)).trim(),
        'Images are identical.',
      );
      assert.ok((await allocatedBytes(path)) < MIB);
    }
  });

  it('parity row 3: a qcow2 container is bytes like any other', async () => {
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', here('box.qcow2'), '8G');
    await sh('qemu-io', '-f', 'qcow2', '-c', 'write -P 7 1M 3M', here('box.qcow2'));
    await copy(sending('box.qcow2', 'box.qcow2'));
    await copy(receiving('box.qcow2', 'box-back.qcow2'));
    assert.ok(await sameBytes(here('box.qcow2'), there('box.qcow2')));
    assert.ok(await sameBytes(here('box.qcow2'), here('box-back.qcow2')));
  });

  for (const name of [`it's "q" a,b,,c=d \`x\` %h`, '-two\nlines $(touch never)$HOME', 'n'.repeat(255)]) {
    it(`a file named ${JSON.stringify(name)} goes there and comes back`, async () => {
      await writeFile(here(name), noise(1000));
      await copy(sending(name, name));
      assert.ok(await sameBytes(here(name), there(name)));
      await copy(receiving(name, `${name.slice(0, 20)}-back`));
      assert.ok(await sameBytes(here(name), here(`${name.slice(0, 20)}-back`)));
    });
  }

  it('sets owner and mode there, replaces only when told to', async () => {
    await writeFile(here('owned'), 'new');
    await writeFile(there('owned'), 'old');
    assert.equal(await reasonOf(copy(sending('owned', 'owned'))), 'TARGET_EXISTS');
    assert.equal(await readFile(there('owned'), 'utf8'), 'old');
    await copy(sending('owned', 'owned'), { overwrite: true, attributes: { owner: '12', group: '34', mode: 0o640 } });
    assert.equal((await sh('stat', '-c', '%u:%g %a', there('owned'))).trim(), '12:34 640');
    assert.equal(await readFile(there('owned'), 'utf8'), 'new');
  });

  it('says what is wrong at the far end', async () => {
    await sparseFile(here('x'), MIB, [{ at: 0, length: 4096 }]);
    await sparseFile(there('x'), MIB, [{ at: 0, length: 4096 }]);
    const at = (port: number, more: Message = {}) => ({ remote: { host: THERE.v4, port }, ...more });
    assert.equal(await reasonOf(copy(receiving('nothing', 'y'))), 'IMAGE_NOT_FOUND');
    assert.equal(await reasonOf(copy(sending('x', 'no-folder/y'))), 'PARENT_NOT_FOUND');
    for (const request of [sending('x', 'y'), receiving('x', 'y')]) {
      assert.equal(await reasonOf(copy(request, at(1))), 'REMOTE_UNREACHABLE');
      assert.equal(await reasonOf(copy(request, at(STRICT_PORT))), 'REMOTE_REFUSED');
      const missing = await failure(copy(request, at(BARE_PORT)));
      assert.equal(missing.reason, 'TOOL_MISSING');
      assert.match(missing.message, /has no qemu-nbd/);
      const { plan } = (await daemon.stranger.operation('ImageService/CopyImage', {
        ...request,
        ...at(BARE_PORT, { engine: 'COPY_ENGINE_AUTO', plan_only: true }),
      })) as { plan: Message };
      assert.equal(plan['method'], 'RSYNC_SSH');
      assert.match(String(plan['why']), /it has no qemu-nbd/);
      assert.ok(Number(plan['free_bytes']) > 0);
    }
  });

  it('what a guest holds there is refused, unless the caller knows better', async () => {
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', there('held'), '1M');
    await whileHeld(there('held'), scratch.path('held.sock'), async () => {
      assert.equal(await reasonOf(copy(receiving('held', 'held'))), 'IMAGE_IN_USE');
      await copy(receiving('held', 'held'), { allow_in_use: true });
    });
    assert.ok(await sameBytes(there('held'), here('held')));
  });

  it('a source that changes meanwhile is noticed at either end', async () => {
    await writeFile(here('moving'), noise(8 * MIB));
    await writeFile(there('moving'), noise(8 * MIB));
    for (const [request, source, target] of [
      [sending('moving', 'moved'), here('moving'), there('moved')],
      [receiving('moving', 'moved'), there('moving'), here('moved')],
    ] as const) {
      const { failed } = await slow(request);
      await appendFile(source, 'more');
      assert.equal((await failed).reason, 'SOURCE_CHANGED');
      await assert.rejects(access(target));
    }
  });

  it('a far disk that is full is found before a byte is moved, or when it fills meanwhile', async () => {
    await writeFile(here('large'), noise(12 * MIB));
    const request = sending('large', 'small/x');
    await onSmallDisk(sshd.pid, there('small'), 8, async () => {
      assert.equal(await reasonOf(copy(request)), 'NO_SPACE');
      assert.equal(await reasonOf(copy(request, { engine: 'COPY_ENGINE_RSYNC_SSH' })), 'NO_SPACE');
    });
    await onSmallDisk(sshd.pid, there('small'), 16, async (fill) => {
      const { failed } = await slow(request);
      await fill();
      assert.equal((await failed).reason, 'NO_SPACE');
    });
  });

  it('a cancel leaves nothing on either end', async () => {
    await writeFile(here('slow'), noise(16 * MIB));
    await writeFile(there('slow'), noise(16 * MIB));
    for (const request of [sending('slow', 'slower'), receiving('slow', 'slower')]) {
      const { id } = await slow(request);
      assert.notDeepEqual(await leftThere(), []);
      await daemon.stranger.unary('OperationService/CancelOperation', { operation_id: id });
      assert.deepEqual(await leftThere(), []);
      await assert.rejects(access(request.target));
    }
  });

  it('a line that is gone for good is given up at both ends; a pull goes on where it was', async () => {
    await writeFile(here('cut'), noise(24 * MIB));
    await writeFile(there('cut'), noise(24 * MIB));
    for (const request of [sending('cut', 'cut-there'), receiving('cut', 'cut-back')]) {
      const { failed } = await slow(request);
      await hosts.cut();
      try {
        const { reason } = await failed;
        assert.ok(['REMOTE_UNREACHABLE', 'STALLED'].includes(reason), reason);
        // While the line is dead: the far end has noticed by itself.
        await nothingThere(SILENCE_MS);
      } finally {
        await hosts.mend();
      }
      await copy(request, { verify: true });
      assert.ok(await sameBytes(request.source, request.target));
    }
  });

  it('a daemon that is killed leaves nothing there, and its next life nothing here', async () => {
    await writeFile(here('killed'), noise(16 * MIB));
    await slow(sending('killed', 'killed'));
    daemon.process.kill('SIGKILL');
    await daemon.exited;
    await nothingThere();
    const left = (await readdir('/dev/shm')).filter((name) => /^hostler-[0-9a-f]{16}-/.test(name));
    assert.notDeepEqual(left, []);
    daemon = await Daemon.start(daemon.folder, { toml: await tomlOf(), within: hosts.on(hosts.here) });
    assert.match(daemon.log, /folders of an earlier start were removed/);
    await rm(here('killed'));
  });

  const tomlOf = async () =>
    (await readFile(scratch.path('daemon', 'hostler.toml'), 'utf8'))
      .replace(/^[\s\S]*?(?=\[ssh\])/, '')
      .replace(/\[\[roots\]\][\s\S]*$/, '');
});
