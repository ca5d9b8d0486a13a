/**
 * Copies of 20 GiB with 0.8 GiB in them, with segments as they come: what is too much for every run
 * of the tests.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, open, rm } from 'node:fs/promises';
import { begun } from '../support/begun.js';
import { checkEach } from '../support/check-each.js';
import { Daemon } from '../support/daemon.js';
import { allocatedBytes } from '../support/images/disks.js';
import { installed, needs, needsNetworks } from '../support/needs.js';
import { SSH_PORT, THERE, TwoHosts, startSshd } from '../support/hosts/network.js';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';
import type { Message } from '../support/stranger.js';
import { TwoAgents } from '../support/hosts/two-agents.js';

const MIB = 1024 * 1024;
const [PIECES, EVERY] = [800, 25 * MIB];
const [DATA, LENGTH] = [PIECES * MIB, 20 * 1024 * MIB];
const [SEGMENT, STREAMS] = [256 * MIB, 2];
/** What TLS, TCP and calls add to bytes of data. */
const WIRE = 1.05;

async function makeScattered(path: string): Promise<void> {
  const file = await open(path, 'w');
  try {
    for (let piece = 0; piece < PIECES; piece++) await file.write(randomBytes(MIB), 0, MIB, piece * EVERY);
    await file.truncate(LENGTH);
  } finally {
    await file.close();
  }
}

async function assertSame(source: string, target: string): Promise<void> {
  // By extents: to read every hole would take minutes.
  const said = await sh('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', source, target);
  assert.equal(said.trim(), 'Images are identical.');
  const [before, after] = [await allocatedBytes(source), await allocatedBytes(target)];
  assert.ok(Math.abs(after - before) <= before * 0.02, `${String(before)} ${String(after)}`);
}

describe('20 GiB between agents', function () {
  this.timeout(300_000);
  const scratch = scratchFolder();
  let agents: TwoAgents;

  before(async function () {
    needsNetworks(this);
    agents = await TwoAgents.start(scratch, '');
    await makeScattered(agents.a.image('large'));
  });

  checkEach(async () => {
    assert.deepEqual(await agents.b.leftovers(), []);
    await agents.idle();
  });
  afterEach(() => rm(agents.b.image('large'), { force: true }));

  it('pulled', async () => {
    const copy = await agents.pull('large', 'large', { verify: true });
    assert.ok(Number(copy['moved_bytes']) <= DATA * 1.02);
    await assertSame(agents.a.image('large'), agents.b.image('large'));
  });

  it('pushed', async () => {
    await agents.push('large', 'large');
    await assertSame(agents.a.image('large'), agents.b.image('large'));
  });

  for (const who of ['source', 'target'] as const)
    for (const percent of [10, 50, 90])
      it(`the ${who}'s daemon is killed at ${String(percent)} %`, async () => {
        const request = agents.pullRequest('large', 'large', { detach: true });
        const before = await agents.receivedBytes();
        const { id } = await begun(agents.b.stranger, 'ImageService/CopyImage', request, (DATA * percent) / 100);
        const killed = who === 'source' ? agents.a : agents.b;
        killed.process.kill('SIGKILL');
        await killed.exited;
        killed.stranger.close();
        await (who === 'source' ? agents.startA() : agents.startB());
        const events = await agents.b.stranger.all('OperationService/WatchOperation', { operation_id: id });
        assert.equal(events.at(-1)?.['state'], 'OPERATION_STATE_SUCCEEDED', JSON.stringify(events.at(-1)));
        await assertSame(agents.a.image('large'), agents.b.image('large'));
        const extra = (await agents.receivedBytes()) - before - DATA * WIRE;
        assert.ok(extra <= SEGMENT * STREAMS * WIRE, `${String(extra / MIB)} MiB too many`);
      });
});

describe('20 GiB by ssh', function () {
  this.timeout(600_000);
  const scratch = scratchFolder();
  let daemon: Daemon;

  before(async function () {
    needsNetworks(this);
    needs(this, installed('/usr/sbin/sshd'), 'openssh-server is not installed');
    await mkdir(scratch.path('far'));
    const hosts = await TwoHosts.connect();
    scratch.onEnd(() => hosts.remove());
    const sshd = await startSshd(scratch.path('sshd'), hosts, hosts.there);
    scratch.onEnd(() => sshd.stop());
    daemon = await Daemon.start(scratch.path('daemon'), { toml: sshd.toml, within: hosts.on(hosts.here) });
    scratch.onEnd(() => daemon.stop());
    await makeScattered(daemon.image('large'));
  });

  for (const engine of ['NBD_SSH', 'RSYNC_SSH']) {
    it(`${engine} there and back`, async () => {
      const [here, there, back] = [daemon.image('large'), scratch.path('far', engine), daemon.image(engine)];
      const how = { remote: { host: THERE.v4, port: SSH_PORT }, engine: `COPY_ENGINE_${engine}` };
      const copy = async (request: Message) =>
        daemon.stranger.operation('ImageService/CopyImage', { ...request, ...how });
      await copy({ source: here, target: there });
      await assertSame(here, there);
      await copy({ source: there, target: back, remote_side: 'REMOTE_SIDE_SOURCE' });
      await assertSame(here, back);
      for (const path of [there, back]) await rm(path);
    });
  }
});
