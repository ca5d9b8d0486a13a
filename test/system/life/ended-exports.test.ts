/**
 * An export that the far agent ends while the pull that opened it is slow: the pull opens another
 * one and goes on.
 */
import assert from 'node:assert/strict';
import { stat, truncate, writeFile } from 'node:fs/promises';
import { LoopbackAgents } from '../../support/hosts/loopback-agents.js';
import { scratchFolder } from '../../support/scratch.js';
import type { Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const LENGTH = 8 << 20;
const PAUSED = /"method":"CopyImage".*"step":"reserve"/;

describe('a pull that is slower than its export lasts', () => {
  const scratch = scratchFolder();
  let agents: LoopbackAgents;

  before(async () => {
    const more = '[debug]\nfailpoints = ["CopyImage:reserve:pause"]\n';
    agents = await LoopbackAgents.start(scratch, 2, { more });
    await writeFile(agents.at(0).image('holes'), '');
    await truncate(agents.at(0).image('holes'), LENGTH);
  });

  it('goes on with another export', async () => {
    const [far, here] = [agents.at(0), agents.at(1)];
    const copying = here.stranger.operation('ImageService/CopyImage', agents.pullRequest(0, 1, 'holes'));
    copying.catch(() => undefined); // heard below
    await here.logged(PAUSED);
    await until(async () => {
      const filter = { methods: ['OpenExport'], states: ['OPERATION_STATE_FAILED'] };
      const { operations = [] } = await far.stranger.unary('OperationService/ListOperations', { filter });
      return (operations as Message[]).length > 0;
    });
    const from = here.log.length;
    here.process.kill('SIGUSR2');
    await here.logged(PAUSED, from);
    here.process.kill('SIGUSR2');
    await copying;
    assert.equal((await stat(here.image('holes-at-1'))).size, LENGTH);
  });
});
