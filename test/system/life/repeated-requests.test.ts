/** What the head of operation.proto says of calls that are made again. */
import assert from 'node:assert/strict';
import { suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { scratchFolder } from '../../support/scratch.js';
import { failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const CREATE = 'ImageService/CreateImage';

describe('a call that is made again', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch);
  let server: FaultServer;
  before(async () => {
    server = await FaultServer.start();
    scratch.onEnd(() => server.close());
  });
  const create = (name: string, more: Message = {}) =>
    daemon.get().stranger.operation(CREATE, { path: daemon.get().image(name), format: 'raw', size: '1K', ...more });
  const operations = async (request_id: string) => {
    const answer = await daemon.get().stranger.unary('OperationService/ListOperations', { filter: { request_id } });
    return (answer['operations'] ?? []) as (Message & { operation_id: string })[];
  };

  it('finds no plan: a plan neither looks for an id nor uses it up', async () => {
    for (const size of ['1K', '2K'])
      assert.ok((await create('planned', { request_id: 'p', plan_only: true, size }))['plan']);
    await create('planned', { request_id: 'p', size: '4K' });
    assert.ok((await create('other', { request_id: 'p', plan_only: true, size: '8K' }))['plan']);
    assert.equal((await operations('p')).length, 1);
    const again = await create('planned', { request_id: 'p', size: '4K' });
    assert.equal(again['replayed'], true);
  });

  it('may have other labels, another detach and other values of secrets, and nothing else', async () => {
    const url = server.add('secret', noise(1000, 3));
    const fetch = (more: Message, token = 'one') =>
      daemon.get().stranger.operation('ImageService/FetchRawImage', {
        source: { http: { url, headers: { authorization: token } } },
        ...{ target: daemon.get().image('fetched'), request_id: 'f', ...more },
      });
    await fetch({ labels: { first: 'yes' } });
    for (const again of [fetch({}), fetch({ labels: { second: 'yes' } }), fetch({ detach: true }), fetch({}, 'two')])
      assert.equal((await again)['replayed'], true);
    const [only, ...more] = await operations('f');
    assert.deepEqual([only?.['labels'], more], [{ first: 'yes' }, []]);
    for (const change of [{ overwrite: true }, { target: daemon.get().image('elsewhere') }, { max_size_bytes: '5000' }])
      assert.equal((await failure(fetch(change))).reason, 'REQUEST_ID_REUSED', JSON.stringify(change));
  });

  it('runs again after a failure, under a new id and the next attempt, and gets the result when it was gone since', async () => {
    const url = server.add('late', noise(1000, 4), { status: { code: 404, times: 1 } });
    const fetch = () =>
      daemon.get().stranger.operation('ImageService/FetchRawImage', {
        ...{ source: { http: { url } }, target: daemon.get().image('late'), request_id: 'l' },
      });
    assert.equal((await failure(fetch())).reason, 'SOURCE_NOT_FOUND');
    await fetch();
    const runs = await operations('l');
    assert.deepEqual(
      runs.map(({ attempt, operation_id }) => [attempt, operation_id === runs[0]?.operation_id]),
      [
        [1, true],
        [2, false],
      ],
    );
    await daemon.get().stranger.unary('FileService/DeleteFile', { path: daemon.get().image('late') });
    assert.equal((await fetch())['replayed'], true);
  });

  it('follows the operation at work, and detaches it for those who came before', async () => {
    const url = server.add('slow', noise(200_000, 5), { bytesPerSecond: 40_000 });
    const { stranger } = daemon.get();
    const request = { source: { http: { url } }, target: daemon.get().image('slow'), request_id: 's' };
    const first = stranger.stream('ImageService/FetchRawImage', request);
    first.on('error', () => undefined); // it is left
    first.resume();
    await until(async () => (await operations('s')).length === 1);
    const second = stranger.stream('ImageService/FetchRawImage', { ...request, detach: true });
    second.on('error', () => undefined); // it is left
    await new Promise((resolve) => second.once('data', resolve));
    second.cancel();
    first.cancel();
    const stateOf = async () => ((await operations('s'))[0]?.['last'] as Message)['state'];
    await until(async () => !['OPERATION_STATE_QUEUED', 'OPERATION_STATE_RUNNING'].includes(String(await stateOf())));
    assert.equal(await stateOf(), 'OPERATION_STATE_SUCCEEDED');
  });

  const labels = (count: number, value: string) =>
    Object.fromEntries(Array.from({ length: count }, (_, n) => [`k${String(n)}`, value]));
  const whole = (bytes: number) => {
    const most = labels(32, 'v'.repeat(240));
    return { ...most, last: 'v'.repeat(bytes - Buffer.byteLength(JSON.stringify({ ...most, last: '' }))) };
  };
  const LIMITS: Record<string, readonly [field: string, held: Message, beyond: Message]> = {
    'an id': ['request_id', { request_id: 'i'.repeat(128) }, { request_id: 'i'.repeat(129) }],
    'the number of labels': ['labels', { labels: labels(64, 'v') }, { labels: labels(65, 'v') }],
    'a key': ['labels', { labels: { ['k'.repeat(256)]: 'v' } }, { labels: { ['k'.repeat(257)]: 'v' } }],
    'an empty key': ['labels', { labels: { k: '' } }, { labels: { '': 'v' } }],
    'a value': ['labels', { labels: { k: 'v'.repeat(256) } }, { labels: { k: 'v'.repeat(257) } }],
    'all labels as JSON': ['labels', { labels: whole(8192) }, { labels: whole(8193) }],
  };
  for (const [what, [field, held, beyond]] of Object.entries(LIMITS))
    it(`is bounded: ${what}`, async () => {
      const name = `bounded-${what.replaceAll(' ', '-')}`;
      const refused = await failure(create(name, beyond));
      assert.equal(refused.reason, 'INVALID_FIELD');
      assert.ok(
        refused.fields.every((each) => each.startsWith(field)),
        refused.fields.join(),
      );
      await create(name, held);
    });
});
