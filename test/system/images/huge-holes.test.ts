/**
 * Files of petabytes that are nearly all hole: nobody waits for their digests but who asked, and a
 * cancel is heard.
 */
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { Daemon } from '../../support/daemon.js';
import { isRoot, needs } from '../../support/needs.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

describe('a hole of petabytes', () => {
  const scratch = scratchFolder();
  let daemon: Daemon;
  const images = () => scratch.path('daemon', 'images');
  before(async function () {
    needs(this, isRoot, 'needs root to mount');
    await mkdir(images(), { recursive: true });
    const mounted = await tryRun('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', images()]);
    needs(this, mounted.code === 0, `a tmpfs cannot be mounted here: ${mounted.stderr.trim()}`);
    scratch.onEnd(() => sh('umount', images()));
    daemon = await Daemon.start(scratch.path('daemon'));
    scratch.onEnd(() => daemon.stop());
    // The last one is longer than a number of Node can say.
    for (const [name, bytes] of [
      ['h48', 2n ** 48n],
      ['h53', 2n ** 53n],
      ['beyond', 2n ** 53n + 512n],
    ] as const)
      await sh('truncate', '-s', String(bytes), daemon.image(name));
  });

  const calls = (name: string): [string, Message][] => [
    ['ImageService/DigestImage', { path: daemon.image(name) }],
    ['ImageService/DownloadImage', { path: daemon.image(name) }],
    ['ImageService/DownloadImage', { path: daemon.image(name), allow_in_use: true }],
  ];

  it('others are answered while it is digested, and it ends', async () => {
    for (const [rpc, request] of calls('h48')) {
      let ended = false;
      const isOver = () => ended;
      const whole = daemon.stranger.all(rpc, request).finally(() => (ended = true));
      let answers = 0;
      while (!isOver()) {
        await daemon.stranger.unary('HostInfoService/GetArchitecture');
        answers += 1;
      }
      assert.ok((await whole).length > 0);
      assert.ok(answers > 5, `${rpc}: ${String(answers)} others were answered`);
    }
  });

  it('a call that is given up is over', async () => {
    for (const [rpc, request] of calls('h53')) {
      const call = daemon.stranger.all(rpc, request, { deadline: Date.now() + 1000 });
      assert.ok(['CALLER_DEADLINE', ''].includes((await failure(call)).reason));
    }
    await daemon.stranger.unary('HostInfoService/GetArchitecture');
    const states = async () => {
      const { operations } = await daemon.stranger.unary('OperationService/ListOperations');
      return (operations as { last: Message }[]).map(({ last }) => last['state']);
    };
    await until(async () => (await states()).includes('OPERATION_STATE_CANCELLED'));
  });

  it('beyond 2^53 bytes it is refused', async () => {
    for (const [rpc, request] of calls('beyond'))
      assert.equal((await failure(daemon.stranger.all(rpc, request))).reason, 'IMAGE_TOO_LARGE', rpc);
  });
});
