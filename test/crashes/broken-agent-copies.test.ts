/**
 * Copies between agents whose line breaks, or who are killed: they go on, and move no more than
 * they must.
 */
import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { begun } from '../support/begun.js';
import { checkEach } from '../support/check-each.js';
import { noise, sameBytes } from '../support/images/disks.js';
import { needsNetworks } from '../support/needs.js';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';
import type { Message } from '../support/stranger.js';
import { TwoAgents } from '../support/hosts/two-agents.js';
import { until } from '../support/until.js';

const MIB = 1024 * 1024;
const SEGMENT = 4 * MIB;
/** Small, so that a test has many. */
const PULLS = '[pulls]\nsegment_mib = 4\nstreams = 2\npatience_seconds = 20\nstall_seconds = 5\n';
/** What TLS, TCP and calls add to bytes of data. */
const WIRE = 1.05;

describe('broken copies between agents', function () {
  this.timeout(120_000);
  const scratch = scratchFolder();
  let agents: TwoAgents;

  before(async function () {
    needsNetworks(this);
    agents = await TwoAgents.start(scratch, PULLS);
  });

  checkEach(async () => {
    assert.deepEqual(await agents.a.leftovers(), []);
    assert.deepEqual(await agents.b.leftovers(), []);
    await agents.idle();
  });

  it('a line that is cut for 5 s costs nothing but time', async () => {
    await writeFile(agents.a.image('cut'), noise(24 * MIB));
    const request = agents.pullRequest('cut', 'cut', { bandwidth_bytes_per_second: String(4 * MIB) });
    const { succeeded } = await begun(agents.b.stranger, 'ImageService/CopyImage', request, SEGMENT);
    await agents.hosts.cut();
    // So long the line is away.
    await sleep(5000);
    await agents.hosts.mend();
    await succeeded;
    assert.ok(await sameBytes(agents.a.image('cut'), agents.b.image('cut')));
  });

  for (const who of ['source', 'target'] as const)
    for (const percent of [10, 50, 90])
      it(`the ${who}'s daemon is killed at ${String(percent)} %: the copy goes on`, async () => {
        const [name, size] = [`killed-${who}-${String(percent)}`, 40 * MIB];
        await writeFile(agents.a.image(name), noise(size));
        const request = agents.pullRequest(name, name, {
          ...{ detach: true, verify: true },
          // One stream, so that it is known when it is where.
          bandwidth_bytes_per_second: String(12 * MIB),
        });
        const before = await agents.receivedBytes();
        const { id } = await begun(agents.b.stranger, 'ImageService/CopyImage', request, (size * percent) / 100);
        const killed = who === 'source' ? agents.a : agents.b;
        killed.process.kill('SIGKILL');
        await killed.exited;
        killed.stranger.close();
        await (who === 'source' ? agents.startA() : agents.startB());
        let last: Message = {};
        await until(async () => {
          const answer = await agents.b.stranger.unary('OperationService/GetOperation', { operation_id: id });
          last = (answer['operation'] as Message)['last'] as Message;
          return ['OPERATION_STATE_SUCCEEDED', 'OPERATION_STATE_FAILED'].includes(String(last['state']));
        }, 60_000);
        assert.equal(last['state'], 'OPERATION_STATE_SUCCEEDED', JSON.stringify(last));
        assert.ok(await sameBytes(agents.a.image(name), agents.b.image(name)));
        // Counted where nobody can be wrong about it.
        const extra = (await agents.receivedBytes()) - before - size * WIRE;
        assert.ok(extra <= SEGMENT * WIRE, `${String(extra / MIB)} MiB too many`);
        await rm(agents.a.image(name));
        await rm(agents.b.image(name));
      });

  it('a line that is cut for good is given up; what has come is kept, and the same call goes on', async () => {
    await agents.b.stop();
    await agents.startB('', PULLS.replace('patience_seconds = 20', 'patience_seconds = 4'));
    await writeFile(agents.a.image('gone'), noise(40 * MIB));
    const request = agents.pullRequest('gone', 'gone', { bandwidth_bytes_per_second: String(4 * MIB) });
    const { failed } = await begun(agents.b.stranger, 'ImageService/CopyImage', request, 2 * SEGMENT);
    await agents.hosts.cut();
    try {
      const { reason } = await failed;
      assert.ok(['REMOTE_UNREACHABLE', 'STALLED'].includes(reason), reason);
    } finally {
      await agents.hosts.mend();
    }
    // Its times alone are no reason to begin again, but one to compare.
    await sh('touch', agents.a.image('gone'));
    const copy = await agents.pull('gone', 'gone');
    assert.equal(copy['verified'], true);
    assert.ok(Number(copy['moved_bytes']) <= 40 * MIB - SEGMENT, String(copy['moved_bytes']));
    assert.ok(await sameBytes(agents.a.image('gone'), agents.b.image('gone')));
  });

  it('what was written over since, at the same length, is noticed by its digest and pulled again', async () => {
    await writeFile(agents.a.image('over'), noise(24 * MIB));
    const request = agents.pullRequest('over', 'over', { bandwidth_bytes_per_second: String(4 * MIB) });
    const { failed } = await begun(agents.b.stranger, 'ImageService/CopyImage', request, 2 * SEGMENT);
    await agents.hosts.cut();
    await failed;
    await agents.hosts.mend();
    await sh('dd', 'if=/dev/zero', `of=${agents.a.image('over')}`, 'bs=1M', 'count=1', 'conv=notrunc', 'status=none');
    const copy = await agents.pull('over', 'over');
    assert.equal(copy['verified'], true);
    assert.ok(await sameBytes(agents.a.image('over'), agents.b.image('over')));
  });
});
