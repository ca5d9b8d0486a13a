/**
 * The daemon is killed at moments of a tool's work on an image in place: content old or new, no
 * corruption, and the same call completes it. A step has no name there, so the moments are times.
 */
import assert from 'node:assert/strict';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Daemon } from '../support/daemon.js';
import { assertSound, guestContent, guestWrites, makeChain } from '../support/images/chains.js';
import { noise } from '../support/images/disks.js';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';
import type { Message } from '../support/stranger.js';

const MOMENTS = 5;
const LAYERS = 4;
const SIZE_MIB = 64;

describe('changes that are killed', () => {
  const scratch = scratchFolder();
  const folder = () => scratch.path('daemon');
  const layer = (depth: number) => scratch.path('daemon/images', `${String(depth)}.qcow2`);
  const other = () => scratch.path('daemon/images/other.qcow2');
  const top = () => layer(LAYERS - 1);
  const layers = () => Array.from({ length: LAYERS }, (_, depth) => layer(depth));
  // Outside of the roots: a copy there would be a dependant like any other.
  const saved = (path: string) => scratch.path(`saved-${basename(path)}`);
  const start = () => Daemon.start(folder());
  const info = async (daemon: Daemon, path: string) =>
    (await daemon.stranger.unary('ImageService/GetImageInfo', { path, format: 'qcow2' }))['info'] as Message;
  let content: Buffer;
  let daemon: Daemon;
  afterEach(async () => {
    daemon.process.kill('SIGKILL');
    await daemon.exited;
    daemon.stranger.close();
  });

  before(async function () {
    this.timeout(120_000);
    await mkdir(scratch.path('daemon/images'), { recursive: true });
    await makeChain(layers(), SIZE_MIB);
    await makeChain([other()], SIZE_MIB);
    await guestWrites(other(), [{ pattern: 55, at: 3, length: 15 }]);
    // Enough in each layer that moving it takes a while.
    for (const depth of [1, 2, 3]) {
      await writeFile(scratch.path('noise'), noise(8 << 20));
      await sh(
        'qemu-io',
        '-f',
        'qcow2',
        '-c',
        `write -s ${scratch.path('noise')} ${String(12 * depth)}M 8M`,
        layer(depth),
      );
    }
    content = await guestContent(top());
    for (const path of [...layers(), other()]) await copyFile(path, saved(path));
  });

  const restore = async () => {
    for (const path of [...layers(), other()]) await copyFile(saved(path), path);
  };

  const changes: [string, () => Message, () => string][] = [
    ['CommitImage', () => ({ path: top(), format: 'qcow2' }), () => layer(LAYERS - 2)],
    [
      'RebaseImage',
      () => ({ path: top(), format: 'qcow2', backing_file: other(), backing_format: 'qcow2' }),
      () => top(),
    ],
    ['RebaseImage', () => ({ path: top(), format: 'qcow2' }), () => top()],
    [
      'ResizeImage',
      () => ({ path: top(), format: 'qcow2', size: '80M', preallocation: 'PREALLOCATION_METADATA' }),
      () => top(),
    ],
  ];
  for (const [rpc, request, written] of changes) {
    it(`${rpc} ${Object.keys(request()).includes('backing_file') ? 'onto another base' : ''}: killed at ${String(MOMENTS)} moments`, async function () {
      this.timeout(240_000);
      await restore();
      daemon = await start();
      const began = performance.now();
      await daemon.stranger.operation(`ImageService/${rpc}`, request());
      const whole = performance.now() - began;
      await daemon.stop();
      for (let moment = 0; moment < MOMENTS; moment++) {
        await restore();
        daemon = await start();
        const stream = daemon.stranger.stream(`ImageService/${rpc}`, { ...request(), detach: true });
        stream.on('data', () => undefined);
        stream.on('error', () => undefined);
        await sleep((whole * (moment + 0.5)) / MOMENTS);
        daemon.process.kill('SIGKILL');
        await daemon.exited;
        daemon.stranger.close();
        daemon = await start();
        const after = await guestContent(top());
        assert.ok(after.subarray(0, content.length).equals(content), `moment ${String(moment)}: the content changed`);
        for (const path of layers()) await assertSound(path);
        await daemon.stranger.operation(`ImageService/${rpc}`, request());
        assert.ok((await guestContent(top())).subarray(0, content.length).equals(content));
        for (const path of layers()) await assertSound(path);
        const { findings = [] } = await info(daemon, written());
        assert.doesNotMatch(JSON.stringify(findings), /INTERRUPTED/);
        if (rpc === 'CommitImage') assert.ok((await guestContent(written())).equals(content));
        assert.deepEqual(await daemon.leftovers(), []);
        await daemon.stop();
      }
    });
  }

  it('a rebase that is cancelled leaves the same content', async () => {
    for (const ms of [20, 40, 60, 80, 100, 120, 140, 160]) {
      await restore();
      daemon = await start();
      const rebase = daemon.stranger.stream('ImageService/RebaseImage', { path: top(), format: 'qcow2' });
      const ended = new Promise((resolve) => rebase.once('error', resolve).once('end', resolve));
      rebase.on('data', () => undefined);
      await sleep(ms);
      rebase.cancel();
      await ended;
      // Drains: what goes on is over when it has stopped.
      await daemon.stop();
      assert.ok((await guestContent(top())).equals(content));
      await assertSound(top());
    }
  });
});
