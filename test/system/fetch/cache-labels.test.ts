/** The operation that fills the cache is found by the labels of all for whom it works. */
import assert from 'node:assert/strict';
import { suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

describe('labels of an operation of the cache', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  const daemon = suiteDaemon(scratch, () => ({
    toml: `[cache]\npath = "${scratch.path('daemon/images/cache')}"\n`,
  }));
  let server: FaultServer;
  before(async () => {
    server = await FaultServer.start();
    scratch.onEnd(() => server.close());
  });
  const fetch = (url: string, target: string, labels: Message) =>
    daemon.get().stranger.operation('ImageService/FetchImage', {
      ...{ source: { http: { url } }, target: daemon.get().image(target), use_cache: true, labels },
    });
  const fills = async (labels: Message) => {
    const filter = { labels, methods: ['FillCache'] };
    const { operations = [] } = await daemon.get().stranger.unary('OperationService/ListOperations', { filter });
    return operations as (Message & { operation_id: string; last: Message })[];
  };
  const stateOf = async (labels: Message) => (await fills(labels)).map(({ last }) => last['state']);

  it('are those of each that waits, now and later; a cancel by label leaves it to the others', async () => {
    const url = server.add('shared', noise(600_000, 5), { bytesPerSecond: 150_000 });
    const a = failure(fetch(url, 'a', { vm: 'a', disk: '1' }));
    await until(async () => (await fills({ vm: 'a' })).length === 1);
    const b = fetch(url, 'b', { vm: 'b', zone: 'z' });
    const c = fetch(url, 'c', { vm: 'b', zone: 'z' });
    await until(async () => (await fills({ vm: 'b' })).length === 1);
    const [found] = await fills({ zone: 'z', vm: 'b' });
    assert.deepEqual(found?.['labels'], { vm: 'a', disk: '1', zone: 'z' });
    assert.deepEqual(await fills({ vm: 'b', disk: '1' }), [], 'some of one and some of another');
    const cancelled = await daemon.get().stranger.unary('OperationService/CancelOperation', { labels: { vm: 'a' } });
    assert.equal((cancelled['operations'] as Message[]).length, 1);
    assert.equal((await a).reason, 'CANCELLED');
    await Promise.all([b, c]);
    for (const labels of [{ vm: 'a', disk: '1' }, { vm: 'b' }, { zone: 'z' }])
      assert.deepEqual(await stateOf(labels), ['OPERATION_STATE_SUCCEEDED'], JSON.stringify(labels));
    assert.deepEqual(await stateOf({ vm: 'c' }), []);
  });

  it('end with the last that waits', async () => {
    const url = server.add('left', noise(600_000, 6), { bytesPerSecond: 20_000 });
    const all = ['x', 'y'].map((vm) => failure(fetch(url, vm, { vm, pair: 'yes' })));
    await until(async () => (await fills({ vm: 'x' })).length + (await fills({ vm: 'y' })).length === 2);
    await daemon.get().stranger.unary('OperationService/CancelOperation', { labels: { vm: 'x' } });
    assert.deepEqual(await stateOf({ vm: 'x' }), ['OPERATION_STATE_RUNNING']);
    await daemon.get().stranger.unary('OperationService/CancelOperation', { labels: { vm: 'y' } });
    await Promise.all(all);
    await until(async () => (await stateOf({ vm: 'y' }))[0] === 'OPERATION_STATE_CANCELLED');
  });
});
