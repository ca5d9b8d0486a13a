/** A scheduler lays out, boots and removes 200 instances, and the daemon is killed 20 times. */
import { needsScheduler, runScheduler } from '../support/scheduler/run-scheduler.js';
import { scratchFolder } from '../support/scratch.js';

describe('a scheduler whose daemon is killed', () => {
  const scratch = scratchFolder();

  it('misses no image of 200 instances and hears of none twice, in 20 kills', async function () {
    this.timeout(600_000);
    needsScheduler(this);
    await runScheduler(scratch.path('daemon'), 200, 20);
  });
});
