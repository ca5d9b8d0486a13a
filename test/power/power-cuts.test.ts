/**
 * The power goes in the middle of work: what was acknowledged is there, images that have their name
 * are whole, and the next start finds its journal. Between two syncs a disk may have written all,
 * nothing, or any part of what came.
 */
import assert from 'node:assert/strict';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Daemon } from '../support/daemon.js';
import { noise } from '../support/images/disks.js';
import { PowerDisk, type Keep } from '../support/faults/power-disk.js';
import { scratchFolder } from '../support/scratch.js';
import { randomNumbers } from '../support/soak.js';
import { Workload, complaintsOf, type Snapshot } from '../support/workload.js';

const MIB = 1 << 20;
const CUTS = Number(process.env['POWER_CUTS'] ?? 200);
const SEED = Number(process.env['SEED'] ?? 1);
const CUTS_A_ROUND = 10;
const KEEPS: readonly Keep[] = ['none', 'some', 'all', 'some'];

interface Cut {
  readonly file: string;
  readonly snapshot: Snapshot;
  readonly title: string;
}

describe('power cuts', () => {
  const scratch = scratchFolder();
  const random = randomNumbers(SEED);
  let disk: PowerDisk;
  let workload: Workload;

  before(async function () {
    disk = await PowerDisk.start(this, scratch, 512 * MIB);
    await mkdir(`${disk.path}/images`);
    await mkdir(scratch.path('fixtures'));
    for (const name of ['a', 'b']) await writeFile(scratch.path('fixtures', name), noise(2 * MIB));
    workload = new Workload({
      images: `${disk.path}/images`,
      fixtures: scratch.path('fixtures'),
      random,
      cancels: false,
      onFailure: (error, rpc) => assert.fail(`${rpc}: ${error.message}`),
    });
  });

  const start = (folder: string): Promise<Daemon> =>
    Daemon.start(scratch.path(folder), {
      roots: `[[roots]]\npath = "${disk.path}/images"\n[[roots]]\npath = "${scratch.path('fixtures')}"\n`,
      stateFolder: `${disk.path}/state`,
    });
  const kill = async (daemon: Daemon): Promise<void> => {
    daemon.process.kill('SIGKILL');
    await daemon.exited;
    daemon.stranger.close();
  };

  /**
   * Works, and cuts the power so many times at moments of chance; the disk goes on without
   * noticing.
   */
  const cutAtWork = async (count: number, first: number): Promise<Cut[]> => {
    const daemon = await start('at-work');
    const work = workload.run(daemon);
    const cuts: Cut[] = [];
    for (let n = 0; n < count; n++) {
      await sleep(random() * 300);
      const keep = KEEPS[n % KEEPS.length] ?? 'none';
      const file = scratch.path(`cut-${String(n)}`);
      const snapshot = await workload.around(() => disk.cut(file, keep, Math.floor(random() * 1e9)));
      cuts.push({ file, snapshot, title: `cut ${String(first + n)} of seed ${String(SEED)}, ${keep} of the unsynced` });
    }
    workload.stop();
    await kill(daemon);
    await work;
    await disk.unmount();
    return cuts;
  };
  /** Starts a daemon on what a cut left and looks at everything. */
  const check = async ({ file, snapshot, title }: Cut): Promise<void> => {
    await disk.mount(file);
    const daemon = await start('after');
    try {
      assert.deepEqual(await complaintsOf(snapshot, daemon), [], title);
      assert.deepEqual(await daemon.leftovers(`${disk.path}/images`), [], title);
      const errors = daemon.records().filter(({ level }) => level === 'error');
      assert.deepEqual(errors, [], title);
    } finally {
      await kill(daemon);
      await disk.unmount();
      await rm(file);
    }
  };

  it(`${String(CUTS)} cuts: nothing that was acknowledged is lost, nothing half-made has a name`, async () => {
    for (let cuts = 0; cuts < CUTS;) {
      const taken = await cutAtWork(Math.min(CUTS_A_ROUND, CUTS - cuts), cuts);
      for (const each of taken) await check(each);
      cuts += taken.length;
      await disk.mount();
      const settled = await start('settled');
      await settled.stop();
      assert.deepEqual(await workload.settle(), []);
    }
    process.stdout.write(`      ${String(CUTS)} cuts, ${String(workload.done)} changes acknowledged\n`);
  }).timeout(40 * 60_000);
});
