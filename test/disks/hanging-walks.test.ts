/**
 * The disk below a root stops answering while the tables of a large image are read: a cancel ends
 * that, and a stop of the daemon too.
 */
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { Daemon } from '../support/daemon.js';
import { FaultFilesystem } from '../support/faults/fault-filesystem.js';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';
import { failure } from '../support/stranger.js';
import { until } from '../support/until.js';

/**
 * Of some sixty reads of the image: while it is looked at in the main thread, and in a thread of
 * its own.
 */
const READS = [10, 30];
const LAST = 40;

describe('a disk that stops answering while tables are read', () => {
  const scratch = scratchFolder();
  let disk: FaultFilesystem;
  let daemon: Daemon;
  let folder: string;

  before(async function () {
    disk = await FaultFilesystem.mount(this, scratch, scratch.path('disk'));
    // Eight megabytes of tables.
    const options = 'preallocation=metadata,cluster_size=4k';
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', options, `${disk.behind}/large`, '4G');
  });
  beforeEach(async () => {
    folder = scratch.path(`daemon${String(Date.now())}`);
    await mkdir(folder);
    daemon = await Daemon.start(folder, {
      server: 'drain_seconds = 0',
      toml: '[limits]\nroot_patience_ms = 300\n',
      roots: [disk.path, `${folder}/images`].map((path) => `[[roots]]\npath = "${path}"\n`).join(''),
    });
  });
  afterEach(async () => {
    await disk.heal();
    await daemon.stop();
  });

  const large = () => ({ path: `${disk.path}/large`, format: 'qcow2' });
  const begin = async (nth: number) => {
    await disk.fail({ kinds: ['read'], hang: true, nth, times: 0, match: 'large' });
    return failure(daemon.stranger.operation('ImageService/ResizeImage', { ...large(), size: '5G' }));
  };
  const cancel = async () => {
    const { operations = [] } = (await daemon.stranger.unary('OperationService/ListOperations', {
      filter: { states: ['OPERATION_STATE_RUNNING', 'OPERATION_STATE_QUEUED'] },
    })) as { operations?: { operation_id: string }[] };
    for (const { operation_id } of operations)
      await daemon.stranger.unary('OperationService/CancelOperation', { operation_id });
  };

  for (const nth of READS)
    it(`at read ${String(nth)}: it is cancelled, others go on, and the image is free when the disk is back`, async () => {
      const change = begin(nth);
      await until(async () => (await disk.seen()).failed.length > 0);
      let reason: string | undefined;
      void change.then((error) => (reason = error.reason));
      // The read may be one of those before the operation begins.
      await until(async () => {
        await cancel();
        return reason !== undefined;
      });
      assert.ok(['CANCELLED', 'ROOT_STALLED'].includes(String(reason)), reason);
      await daemon.stranger.operation('ImageService/CreateImage', {
        path: daemon.image('near'),
        format: 'qcow2',
        size: '1M',
      });
      await disk.heal();
      await until(async () => {
        const events = await daemon.stranger
          .operation('ImageService/ResizeImage', { ...large(), size: '4G' })
          .catch(() => undefined);
        return events !== undefined;
      });
    });

  it('the daemon stops all the same', async () => {
    const change = begin(LAST);
    await until(async () => (await disk.seen()).failed.length > 0);
    daemon.process.kill('SIGTERM');
    await daemon.logged(/"STOPPED"/);
    // What FUSE has been asked holds a process until it answers, whatever ends that.
    await disk.heal();
    await daemon.exited;
    await change;
  });
});
