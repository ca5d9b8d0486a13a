/** CancelOperation while the daemon stops: what is answered is true after the next start too. */
import assert from 'node:assert/strict';
import { access } from 'node:fs/promises';
import { begun } from '../../support/begun.js';
import { Daemon } from '../../support/daemon.js';
import { noise, sparseFile } from '../../support/images/disks.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { scratchFolder } from '../../support/scratch.js';
import { CallError, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const MIB = 1024 * 1024;
const FINAL = ['OPERATION_STATE_SUCCEEDED', 'OPERATION_STATE_FAILED', 'OPERATION_STATE_CANCELLED'];

describe('a cancel while the daemon stops', function () {
  this.timeout(120_000);
  const scratch = scratchFolder();
  let daemon: Daemon;
  let server: FaultServer;
  const start = async (drainSeconds = 1) => {
    daemon = await Daemon.start(scratch.path('daemon'), {
      server: `drain_seconds = ${String(drainSeconds)}`,
      toml: '[limits]\nrunning_operations = 1\n',
    });
  };

  before(async () => {
    server = await FaultServer.start();
    scratch.onEnd(() => server.close());
    scratch.onEnd(() => daemon.stop());
  });
  beforeEach(() => start());
  afterEach(async () => {
    await daemon.stop();
    assert.deepEqual(await daemon.leftovers(), []);
  });

  const cancel = (id: string) => daemon.stranger.unary('OperationService/CancelOperation', { operation_id: id });
  const cancelLabelled = () => daemon.stranger.unary('OperationService/CancelOperation', { labels: { vm: '1' } });
  const stateOf = async (id: string) => {
    const { operation } = await daemon.stranger.unary('OperationService/GetOperation', { operation_id: id });
    return String(((operation as Message)['last'] as Message)['state']);
  };
  const upload = async (name: string) => {
    const request = { target: daemon.image(name), format: 'raw', length_bytes: String(MIB) };
    return String((await daemon.stranger.unary('ImageService/StartUpload', request))['upload_id']);
  };
  /** Moves for as long as nobody stops it. */
  const slow = async (name: string, bytes = 1) => {
    await sparseFile(daemon.image(`${name}-source`), 64 * MIB, [{ at: 0, length: 32 * MIB }]);
    const request = { source: daemon.image(`${name}-source`), source_format: 'raw', target: daemon.image(name) };
    const slowly = { target_format: 'qcow2', bandwidth_bytes_per_second: String(MIB), detach: true };
    return (await begun(daemon.stranger, 'ImageService/ConvertImage', { ...request, ...slowly }, bytes)).id;
  };
  const fetch = async (name: string, more: Message = {}) => {
    const url = server.add(name, noise(32 * MIB), { bytesPerSecond: 4 * MIB });
    const request = { source: { http: { url } }, target: daemon.image(name), detach: true, ...more };
    return (await begun(daemon.stranger, 'ImageService/FetchRawImage', request)).id;
  };
  const stopping = async () => {
    daemon.process.kill('SIGTERM');
    await until(() => daemon.log.includes('"STOPPING"'));
  };

  /** What a cancel says must hold at the next start: cancelled for good, or refused. */
  async function cancelledOrRefused(id: string, asking: Promise<unknown>): Promise<'cancelled' | 'refused'> {
    const answered = await asking.then(
      () => 'cancelled' as const,
      (error: unknown) => {
        // The connection may be closed before the call has come.
        assert.ok(error instanceof CallError && ['SHUTTING_DOWN', ''].includes(error.reason), String(error));
        return 'refused' as const;
      },
    );
    await daemon.exited;
    daemon.stranger.close();
    await start();
    const state = await stateOf(id);
    if (answered === 'cancelled') assert.equal(state, 'OPERATION_STATE_CANCELLED');
    if (!FINAL.includes(state)) await cancel(id);
    return answered;
  }

  it('of uploads: none that was cancelled goes on', async () => {
    const ids: string[] = [];
    for (let n = 0; n < 12; n++) ids.push(await upload(`many-${String(n)}`));
    // Keeps the daemon for a while.
    const kept = await slow('keeper');
    await stopping();
    const answers = await Promise.allSettled(ids.map(cancel));
    await daemon.exited;
    daemon.stranger.close();
    await start();
    for (const [index, id] of ids.entries()) {
      const state = await stateOf(id);
      const answer = answers[index];
      if (answer?.status === 'fulfilled') assert.equal(state, 'OPERATION_STATE_CANCELLED');
      else assert.equal((answer?.reason as CallError).reason, 'SHUTTING_DOWN');
      if (!FINAL.includes(state)) await cancel(id);
    }
    assert.ok(FINAL.includes(await stateOf(kept)));
  });

  it('of a detached fetch that would go on: what had come goes too', async () => {
    const id = await fetch('fetched');
    await stopping();
    assert.equal(await cancelledOrRefused(id, cancel(id)), 'cancelled');
    await assert.rejects(access(daemon.image('fetched')));
  });

  it('of one that has been suspended already is refused, by id and by label', async () => {
    const labels = { labels: { vm: '1' } };
    const id = await fetch('suspended', labels);
    // Must not be torn, so the daemon waits for it when the fetch is over.
    const held = daemon.stranger.upload('FileService/WriteFile');
    held.answer.catch(() => undefined); // ends with the daemon
    held.stream.write({ header: { path: daemon.image('held'), offset: '0' } });
    await stopping();
    const watched = daemon.stranger.all('OperationService/WatchOperation', { operation_id: id });
    await assert.rejects(watched, { reason: 'SHUTTING_DOWN' });
    const [byId, byLabel] = await Promise.allSettled([cancel(id), cancelLabelled()]);
    for (const answer of [byId, byLabel]) assert.equal(answer.status, 'rejected');
    await daemon.exited;
    daemon.stranger.close();
    await start();
    assert.ok(!FINAL.includes(await stateOf(id)));
    await cancel(id);
    assert.equal(await stateOf(id), 'OPERATION_STATE_CANCELLED');
  });

  it('of one that is queued, and of one that runs', async () => {
    const running = await slow('running');
    const queued = await slow('queued', 0);
    assert.equal(await stateOf(queued), 'OPERATION_STATE_QUEUED');
    await stopping();
    for (const id of [queued, running]) {
      const [ended] = (await cancel(id))['operations'] as Message[];
      assert.equal(ended?.['state'], 'OPERATION_STATE_CANCELLED');
    }
  });

  it('of a fetch whose caller waits: nothing is kept', async () => {
    const url = server.add('waiting', noise(32 * MIB), { bytesPerSecond: 4 * MIB });
    const request = { source: { http: { url } }, target: daemon.image('waiting') };
    const { id, failed } = await begun(daemon.stranger, 'ImageService/FetchRawImage', request);
    await stopping();
    assert.equal(await cancelledOrRefused(id, cancel(id)), 'cancelled');
    assert.equal((await failed).reason, 'CANCELLED');
  });

  it('after a second SIGTERM', async () => {
    await daemon.stop();
    await start(60);
    const id = await fetch('twice');
    await stopping();
    daemon.process.kill('SIGTERM');
    await until(() => daemon.log.includes('STOPPING at once'));
    await cancelledOrRefused(id, cancel(id));
  });

  it('of an upload that is being read again when the daemon stops', async () => {
    // Nobody reads so many zeros in the time of a test.
    const length = 2 ** 42;
    const request = { target: daemon.image('zeros'), format: 'raw', length_bytes: String(length), data_bytes: '0' };
    const { upload_id: id } = await daemon.stranger.unary('ImageService/StartUpload', request);
    const sent = daemon.stranger.send('ImageService/UploadImage', [
      { header: { upload_id: id, offset: '0' } },
      { zero_bytes: String(length) },
      { checksum: { algorithm: 'sha512', digest: '00'.repeat(64) } },
    ]);
    const heard = assert.rejects(sent, { reason: 'SHUTTING_DOWN' });
    await until(async () => {
      const { operation } = await daemon.stranger.unary('OperationService/GetOperation', { operation_id: id });
      return ((operation as Message)['last'] as Message)['phase'] === 'OPERATION_PHASE_VERIFYING';
    });
    await stopping();
    await heard;
    await daemon.exited;
    daemon.stranger.close();
    await start();
    assert.equal(await stateOf(String(id)), 'OPERATION_STATE_RUNNING');
    const again = await daemon.stranger.unary('ImageService/StartUpload', request);
    assert.equal(again['upload_id'], id);
    await cancel(String(id));
    assert.equal(await stateOf(String(id)), 'OPERATION_STATE_CANCELLED');
  });
});
