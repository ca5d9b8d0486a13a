/**
 * A change in place that the daemon's end has interrupted leaves a mark, and one that writes cannot
 * be cancelled. Kills at other moments: `make test-crashes`.
 */
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { Daemon } from '../../support/daemon.js';
import { makeChain } from '../../support/images/chains.js';
import { scratchFolder } from '../../support/scratch.js';
import { failure, type Message } from '../../support/stranger.js';

const SIZE_MIB = 64;

describe('interrupted changes', () => {
  const scratch = scratchFolder();
  const top = () => scratch.path('daemon/images/top.qcow2');
  let daemon: Daemon;
  const start = async (failpoint?: string) => {
    const toml = failpoint === undefined ? '' : `[debug]\nfailpoints = ["${failpoint}"]\n`;
    daemon = await Daemon.start(scratch.path('daemon'), { toml });
  };
  const findings = async () => {
    const { info } = await daemon.stranger.unary('ImageService/GetImageInfo', { path: top(), format: 'qcow2' });
    return ((info as Message)['findings'] ?? []) as Message[];
  };
  beforeEach(async () => {
    await mkdir(scratch.path('daemon/images'), { recursive: true });
    await makeChain([scratch.path('daemon/images/base.qcow2'), top()], SIZE_MIB);
  });
  afterEach(async () => {
    daemon.process.kill('SIGKILL');
    await daemon.exited;
    daemon.stranger.close();
  });

  it('the mark of a half changed image: in its info, in the log of the next start, gone after success', async () => {
    await start('ResizeImage:sync:kill');
    const request = { path: top(), format: 'qcow2', size: '90M' };
    await failure(daemon.stranger.all('ImageService/ResizeImage', request));
    await daemon.exited;
    daemon.stranger.close();
    await start();
    assert.match(
      daemon.log,
      /an image may be half changed[^\n]*top\.qcow2|top\.qcow2[^\n]*an image may be half changed/,
    );
    assert.deepEqual(
      (await findings()).map(({ reason }) => reason),
      ['INTERRUPTED'],
    );
    await daemon.stranger.operation('ImageService/ResizeImage', request);
    assert.deepEqual(await findings(), []);
    await daemon.stop();
    await start();
    assert.doesNotMatch(daemon.log, /half changed/);
  });

  it('a commit cannot be cancelled while it writes', async () => {
    await start('CommitImage:change:pause');
    const stream = daemon.stranger.stream('ImageService/CommitImage', { path: top(), format: 'qcow2' });
    stream.on('error', () => undefined);
    const event = await new Promise<Message>((resolve) => {
      stream.on('data', (each: Message) => {
        if (each['phase'] === 'OPERATION_PHASE_MODIFYING') resolve(each);
      });
    });
    assert.equal(event['cancellable'] ?? false, false);
    const { operation_id } = event;
    const cancel = daemon.stranger.unary('OperationService/CancelOperation', { operation_id });
    assert.equal((await failure(cancel)).reason, 'NOT_CANCELLABLE');
  });
});
