/** Lists of operations in both orders, by everything that a filter has; and what events say. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { allOver } from '../../support/at-work.js';
import { suiteDaemon } from '../../support/daemon.js';
import { scratchFolder } from '../../support/scratch.js';
import { Stranger, failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const LIST = 'OperationService/ListOperations';
type Operation = Message & { operation_id: string; create_time: { seconds: string; nanos?: number } };

describe('a list of operations', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, () => ({
    toml: [
      `[roles.own]\nservices = ["ImageService", "OperationService"]\noperations = "own"`,
      `read = ["${scratch.path('daemon/images')}"]\nwrite = ["${scratch.path('daemon/images')}"]`,
      `[[listeners]]\naddress = "unix://${scratch.path('daemon', 'own')}.sock"\nrole = "own"\n`,
    ].join('\n'),
  }));
  const create = (name: string, more: Message = {}, who = daemon.get().stranger) =>
    who.operation('ImageService/CreateImage', { path: daemon.get().image(name), format: 'raw', size: '1K', ...more });
  const page = async (request: Message, who = daemon.get().stranger) => {
    const { operations = [], next_page_token = '' } = await who.unary(LIST, request);
    return { operations: operations as Operation[], token: next_page_token as string };
  };
  const idsOf = async (
    request: Message,
    who = daemon.get().stranger,
    between: () => Promise<unknown> = () => Promise.resolve(),
  ) => {
    const ids: string[] = [];
    for (let token = ''; ;) {
      const got = await page({ ...request, page_token: token }, who);
      ids.push(...got.operations.map(({ operation_id }) => operation_id));
      token = got.token;
      if (token === '') return ids;
      await between();
    }
  };

  it('is newest first on request, and has each operation once while new ones begin', async () => {
    const filter = { labels: { list: 'order' } };
    for (let n = 0; n < 11; n++) await create(`order-${String(n)}`, filter);
    const oldest = await idsOf({ filter, page_size: 4 });
    assert.deepEqual([oldest.length, oldest], [11, [...oldest].sort()]);
    let added = 0;
    const newest = await idsOf({ filter, page_size: 4, newest_first: true }, undefined, () =>
      create(`order-new-${String(++added)}`, filter),
    );
    assert.equal(added, 2);
    assert.deepEqual(newest, [...oldest].reverse());
    const now = await idsOf({ filter, page_size: 1000, newest_first: true });
    assert.deepEqual(now.slice(2), newest);
  });

  it('has page tokens of its own order only', async () => {
    const filter = { labels: { list: 'order' } };
    for (const newest_first of [false, true]) {
      const { token } = await page({ filter, page_size: 1, newest_first });
      for (const page_token of [token.slice(1), `${token}0`, 'x', token.replace(/^-?/, newest_first ? '' : '-')]) {
        const refused = await failure(page({ filter, newest_first, page_token }));
        assert.deepEqual([refused.reason, refused.fields], ['INVALID_FIELD', ['page_token']], page_token);
      }
      // One that nobody was given names a place like any other.
      const last = newest_first ? `-${'0'.repeat(26)}` : `7${'Z'.repeat(25)}`;
      assert.deepEqual(await page({ filter, newest_first, page_token: last }), { operations: [], token: '' });
    }
  });

  it('since and until are times of the admission: the first is in, the last is not', async () => {
    const filter = { labels: { list: 'times' } };
    for (let n = 0; n < 5; n++) {
      await create(`times-${String(n)}`, filter);
      // Times are compared in milliseconds.
      await sleep(2);
    }
    const { operations } = await page({ filter });
    const times = operations.map(({ create_time }) => create_time);
    const ids = operations.map(({ operation_id }) => operation_id);
    for (const newest_first of [false, true]) {
      const found = async (more: Message) => {
        const some = await idsOf({ filter: { ...filter, ...more }, page_size: 2, newest_first });
        return newest_first ? some.reverse() : some;
      };
      assert.deepEqual(await found({ since: times[1] }), ids.slice(1));
      assert.deepEqual(await found({ until: times[3] }), ids.slice(0, 3));
      assert.deepEqual(await found({ since: times[1], until: times[3] }), ids.slice(1, 3));
      assert.deepEqual(await found({ since: times[3], until: times[1] }), []);
      assert.deepEqual(await found({ since: { seconds: '-62135596800' }, until: { seconds: '253402300799' } }), ids);
    }
    for (const [field, time] of [
      ['since', { seconds: '253402300800' }],
      ['until', { seconds: '-62135596801' }],
      ['since', { seconds: '0', nanos: 1_000_000_000 }],
      ['until', { seconds: '0', nanos: -1 }],
    ] as const) {
      const refused = await failure(page({ filter: { [field]: time } }));
      assert.deepEqual([refused.reason, refused.fields], ['INVALID_FIELD', [`filter.${field}`]]);
    }
  });

  it('selects by reason and by request id, also together with labels and state', async () => {
    const labels = { list: 'reasons' };
    await create('source', { labels });
    const wrong = { algorithm: 'sha256', digest: '0'.repeat(64) };
    const fetch = (more: Message) =>
      daemon.get().stranger.all('ImageService/FetchRawImage', {
        ...{ source: { file: { path: daemon.get().image('source') } }, target: daemon.get().image('target') },
        ...{ checksum: wrong, labels, ...more },
      });
    for (const more of [{}, { request_id: 'list-two' }, { request_id: 'list-two' }])
      assert.equal((await failure(fetch(more))).reason, 'CHECKSUM_MISMATCH');
    // What is refused before it is admitted is no operation.
    assert.equal((await failure(create('source', { labels, request_id: 'list-three' }))).reason, 'TARGET_EXISTS');
    const found = async (more: Message) => {
      const filter = { labels, ...more };
      const ids = await idsOf({ filter, page_size: 1 });
      assert.deepEqual(await idsOf({ filter, newest_first: true, page_size: 1 }), [...ids].reverse());
      return ids.length;
    };
    assert.equal(await found({}), 4);
    assert.equal(await found({ reasons: ['CHECKSUM_MISMATCH'] }), 3);
    assert.equal(await found({ reasons: ['NO_SPACE', 'CHECKSUM_MISMATCH'], states: ['OPERATION_STATE_FAILED'] }), 3);
    assert.equal(await found({ reasons: ['CHECKSUM_MISMATCH'], states: ['OPERATION_STATE_SUCCEEDED'] }), 0);
    assert.equal(await found({ reasons: ['NONE_SUCH'] }), 0);
    assert.equal(await found({ request_id: 'list-two' }), 2);
    assert.equal(await found({ request_id: 'list-two', reasons: ['CHECKSUM_MISMATCH'] }), 2);
    assert.equal(await found({ request_id: 'list-two', methods: ['CreateImage'] }), 0);
    for (const request_id of ['list', 'list-three', 'LIST-TWO']) assert.equal(await found({ request_id }), 0);
  });

  it('shows nobody more than their role', async () => {
    const own = new Stranger(`unix://${scratch.path('daemon', 'own')}.sock`);
    scratch.onEnd(() => {
      own.close();
      return Promise.resolve();
    });
    const filter = { labels: { list: 'roles' } };
    await create('roles-theirs', { ...filter, request_id: 'roles' });
    await create('roles-own', { ...filter, request_id: 'roles' }, own);
    for (const newest_first of [false, true])
      for (const more of [{}, { request_id: 'roles' }, { since: { seconds: '1' } }]) {
        const request = { filter: { ...filter, ...more }, newest_first };
        assert.equal((await idsOf(request)).length, 2);
        assert.equal((await idsOf(request, own)).length, 1);
      }
  });

  it('events say who asked for what, under which id, and with which warnings it went', async () => {
    const { stranger } = daemon.get();
    const labels = { list: 'events' };
    const watch = stranger.stream('OperationService/WatchOperations', { filter: { labels } });
    const seen: Message[] = [];
    watch.on('data', (change: Message) => seen.push(change));
    watch.on('error', () => undefined); // it is cancelled
    // Answered on the same connection, so the watch has arrived.
    await allOver(stranger);
    const path = daemon.get().image('events.raw');
    const request = { path, format: 'raw', virtual_size_bytes: '1000', labels, request_id: 'events' };
    const last = (await stranger.all('ImageService/CreateImage', request)).at(-1);
    await until(() => seen.some(({ event }) => (event as Message)['state'] === 'OPERATION_STATE_SUCCEEDED'));
    watch.cancel();
    const { operations } = await page({ filter: { labels } });
    for (const change of seen) {
      assert.deepEqual(change['labels'], labels);
      assert.deepEqual(change['addresses'], [path]);
      assert.equal(change['request_id'], 'events');
      assert.equal(change['caller'], operations[0]?.['caller']);
    }
    const warnings = operations[0]?.['warnings'] as Message[];
    assert.deepEqual(
      warnings.map(({ reason }) => reason),
      ['SIZE_ROUNDED_UP'],
    );
    assert.deepEqual(last?.['warnings'], warnings, 'the last event of the call that began it');
    assert.deepEqual((seen.at(-1)?.['event'] as Message)['warnings'], warnings, 'the last event of a watch of all');
    const operation_id = operations[0]?.operation_id;
    const watched = await stranger.all('OperationService/WatchOperation', { operation_id });
    assert.deepEqual(watched.at(-1)?.['warnings'], warnings, 'the last event of a watch of one');
  });
});
