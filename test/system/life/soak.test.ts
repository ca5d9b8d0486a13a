/** After many mixed operations nothing is left but their results. `make soak` runs 2,000. */
import assert from 'node:assert/strict';
import { Daemon } from '../../support/daemon.js';
import { scratchFolder } from '../../support/scratch.js';
import { childrenOf, prepareSoak, soak, standing } from '../../support/soak.js';
import type { Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const COUNT = Number(process.env['SOAK'] ?? '200');
const SEED = Number(process.env['SEED'] ?? '1');
/** Memory is compared after so many: the first ones warm up. */
const WARM_UP = 200;

describe('soak', () => {
  const scratch = scratchFolder();

  it(`${String(COUNT)} mixed operations, 64 in flight, seed ${String(SEED)}`, async function () {
    this.timeout(30 * 60_000);
    const daemon = await Daemon.start(scratch.path(`daemon-${String(Date.now())}`));
    scratch.onEnd(() => daemon.stop());
    await prepareSoak(daemon);
    await soak(daemon, 20, SEED + 1);
    const start = standing(daemon);
    let warm = start;
    const ends = new Map<string, number>();
    for (let done = 0; done < COUNT; done += WARM_UP) {
      for (const [reason, number] of await soak(daemon, Math.min(WARM_UP, COUNT - done), SEED + done))
        ends.set(reason, (ends.get(reason) ?? 0) + number);
      if (done === 0) warm = standing(daemon);
    }
    const filter = { states: ['OPERATION_STATE_QUEUED', 'OPERATION_STATE_RUNNING', 'OPERATION_STATE_CANCELLING'] };
    await until(async () => {
      const { operations = [] } = await daemon.stranger.unary('OperationService/ListOperations', { filter });
      return (operations as Message[]).length === 0;
    });
    await until(async () => (await childrenOf(daemon)).length === 0);
    process.stdout.write(`      ends: ${JSON.stringify(Object.fromEntries(ends))}\n`);
    const end = standing(daemon);
    process.stdout.write(
      `      descriptors ${String(start.descriptors)} -> ${String(end.descriptors)}, memory ${String(warm.rssKib)} -> ${String(end.rssKib)} KiB\n`,
    );
    assert.deepEqual(await daemon.leftovers(), []);
    assert.deepEqual(await childrenOf(daemon), []);
    assert.ok((ends.get('OK') ?? 0) > COUNT / 4, 'too few succeeded to mean anything');
    assert.ok(
      end.descriptors <= start.descriptors + 2,
      `descriptors grew from ${String(start.descriptors)} to ${String(end.descriptors)}`,
    );
    if (COUNT > WARM_UP)
      assert.ok(end.rssKib < warm.rssKib * 1.2, `memory grew from ${String(warm.rssKib)} to ${String(end.rssKib)} KiB`);
    // No lock is left: every path can be worked on.
    for (let n = 0; n < 200; n++)
      await daemon.stranger.operation('ImageService/DeleteImage', {
        path: daemon.image(`soak-${String(n)}`),
        missing_ok: true,
      });
    assert.ok(
      !daemon.log.includes('"level":"error"'),
      daemon.log
        .split('\n')
        .filter((line) => line.includes('"level":"error"'))
        .slice(0, 3)
        .join('\n'),
    );
  });
});
