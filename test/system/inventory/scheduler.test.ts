/** The same as test/crashes/killed-scheduler.test.ts, with fewer instances and kills. */
import { needsScheduler, runScheduler } from '../../support/scheduler/run-scheduler.js';
import { scratchFolder } from '../../support/scratch.js';

describe('a scheduler whose daemon is killed', () => {
  const scratch = scratchFolder();

  it('misses no image of 12 instances and hears of none twice, in 2 kills', async function () {
    this.timeout(120_000);
    needsScheduler(this);
    await runScheduler(scratch.path('daemon'), 12, 2);
  });
});
