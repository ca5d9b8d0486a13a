/**
 * What the next daemon finds of one that was killed: the child has ended, and what it left is swept.
 * Kills at every step of every verb: `make test-crashes`.
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { Daemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { alive } from '../../support/processes.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { until } from '../../support/until.js';

describe('a daemon after one that was killed', () => {
  const scratch = scratchFolder();
  const image = (name: string) => scratch.path('daemon/images', name);
  const start = () => Daemon.start(scratch.path('daemon'));
  before(async () => {
    await (await start()).stop();
  });

  it('killed in the middle of a convert: child, part and lock are gone', async () => {
    await writeFile(image('big.raw'), noise(16 << 20));
    const first = await start();
    const stream = first.stranger.stream('ImageService/ConvertImage', {
      source: image('big.raw'),
      source_format: 'raw',
      target: image('mid.qcow2'),
      target_format: 'qcow2',
      bandwidth_bytes_per_second: '1048576',
      detach: true,
    });
    let pid = 0;
    stream.on('data', (event: { pid?: number }) => (pid = event.pid ?? pid));
    stream.on('error', () => undefined);
    // The private folder, and the part that the child writes.
    await until(async () => pid !== 0 && (await first.leftovers()).length === 2);
    first.process.kill('SIGKILL');
    await first.exited;
    assert.equal((await first.leftovers()).length, 2);
    const second = await start();
    assert.ok(!alive(pid));
    assert.deepEqual(await second.leftovers(), []);
    await second.stranger.operation('ImageService/DeleteImage', { path: image('big.raw') });
    first.stranger.close();
    assert.equal(await second.stop(), 0);
  });

  it('the sweep removes folders of this agent that no journal knows, and never those of others', async () => {
    const agent = (await readFile(scratch.path('daemon/state/agent-id'), 'utf8')).trim();
    const [ours, theirs] = [
      `.hostler-${agent}-01ARZ3NDEKTSV4RRFFQ69G5FAV`,
      '.hostler-0123456789ab-01ARZ3NDEKTSV4RRFFQ69G5FAV',
    ];
    await sh('mkdir', '-p', image(`deep/er/${ours}`), image(`deep/${theirs}`));
    await writeFile(image(`deep/er/${ours}/part`), 'x');
    const daemon = await start();
    await daemon.logged(/"swept"/);
    assert.deepEqual(await daemon.leftovers(), [`deep/${theirs}`]);
    await daemon.stop();
  });
});
