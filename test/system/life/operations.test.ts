/** The operations engine, seen from outside. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Metadata, status } from '@grpc/grpc-js';
import { allOver } from '../../support/at-work.js';
import { checkEach } from '../../support/check-each.js';
import { suiteDaemon } from '../../support/daemon.js';
import { sparseFile } from '../../support/images/disks.js';
import { alive } from '../../support/processes.js';
import { scratchFolder } from '../../support/scratch.js';
import { Stranger, failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const MIB = 1024 * 1024;

describe('operations', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, {
    toml: '[limits]\nrunning_operations = 2\nrunning_operations_per_filesystem = 2\nqueued_operations = 3\ncallers_part = 1\n',
  });
  const image = (name: string) => daemon.get().image(name);

  before(() => sparseFile(image('big.raw'), 256 * MIB, [{ at: 0, length: 64 * MIB }]));
  checkEach(async () => {
    const { stranger } = daemon.get();
    const { operations = [] } = (await stranger.unary('OperationService/ListOperations', {
      filter: { states: ['OPERATION_STATE_RUNNING', 'OPERATION_STATE_QUEUED'] },
    })) as { operations?: Message[] };
    assert.deepEqual(operations, []);
    assert.deepEqual(await daemon.get().leftovers(), []);
  });

  /** A convert that takes about `seconds`: the rate is limited. */
  const slow = (target: string, seconds = 60, more: Message = {}): Message => ({
    source: image('big.raw'),
    source_format: 'raw',
    target: image(target),
    target_format: 'qcow2',
    bandwidth_bytes_per_second: String(Math.floor((64 * MIB) / seconds)),
    ...more,
  });
  const CONVERT = 'ImageService/ConvertImage';

  /** Starts an operation; resolves when it has reached the state. */
  async function start(request: Message, state = 'OPERATION_STATE_RUNNING') {
    const stream = daemon.get().stranger.stream(CONVERT, request);
    let id = '';
    const events: Message[] = [];
    const ended = new Promise<Error | undefined>((resolve) => {
      stream.once('error', resolve);
      stream.once('end', () => resolve(undefined));
    });
    stream.on('data', (event: Message) => {
      id = String(event['operation_id']);
      events.push(event);
    });
    const get = async () =>
      (
        (await daemon.get().stranger.unary('OperationService/GetOperation', { operation_id: id }))[
          'operation'
        ] as Message
      )['last'] as Message;
    for (;;) {
      await sleep(20);
      if (id === '') continue;
      const last = await get();
      // The child that only looks at the source comes before the one that converts.
      const converting = last['phase'] === 'OPERATION_PHASE_CONVERTING' && last['pid'] !== undefined;
      if (last['state'] === state && (state !== 'OPERATION_STATE_RUNNING' || converting))
        return { stream, id, events, ended, pid: Number(last['pid']), get };
    }
  }
  const cancel = (request: Message) => daemon.get().stranger.unary('OperationService/CancelOperation', request);

  it('the first event comes at once and carries the id; absolute counters never go back', async () => {
    const events = await daemon.get().stranger.all(CONVERT, slow('events.qcow2', 2));
    assert.match(String(events[0]?.['operation_id']), /^[0-9A-Z]{26}$/);
    assert.ok(events.length > 3 && events.length < 20, `${String(events.length)} events`);
    const done = events.map((event) => Number((event['progress'] as Message | undefined)?.['done_bytes'] ?? 0));
    assert.deepEqual(
      done,
      [...done].sort((a, b) => a - b),
    );
    assert.equal(events.at(-1)?.['state'], 'OPERATION_STATE_SUCCEEDED');
  });

  it('cancel by id: child and folder are gone when it answers, and it says so', async () => {
    const { id, pid, ended } = await start(slow('cancel.qcow2'));
    assert.ok(alive(pid));
    // The tool makes its file a moment after it has started.
    await until(async () => (await daemon.get().leftovers()).some((name) => name.endsWith('/part')));
    const answer = (await cancel({ operation_id: id })) as { operations: Message[] };
    assert.ok(!alive(pid));
    assert.ok(!existsSync(image('cancel.qcow2')));
    assert.deepEqual(await daemon.get().leftovers(), []);
    const [cancelled] = answer.operations;
    assert.ok(cancelled);
    assert.equal(cancelled['state'], 'OPERATION_STATE_CANCELLED');
    assert.deepEqual(cancelled['ended_pids'], [pid]);
    assert.equal((cancelled['removed_paths'] as string[]).length, 2);
    assert.equal(((await ended) as { code?: number }).code, status.CANCELLED);
    const again = (await cancel({ operation_id: id })) as { operations: Message[] };
    assert.equal(again.operations[0]?.['state'], 'OPERATION_STATE_CANCELLED');
  });

  it('cancel by labels ends all that have them, and no other', async () => {
    const [a, b] = [
      await start(slow('l1.qcow2', 60, { labels: { vm: 'x', disk: '1' } })),
      await start(slow('l2.qcow2', 60, { labels: { vm: 'y' } })),
    ];
    const answer = (await cancel({ labels: { vm: 'x' } })) as { operations: Message[] };
    assert.deepEqual(
      answer.operations.map((operation) => operation['operation_id']),
      [a.id],
    );
    assert.equal((await b.get())['state'], 'OPERATION_STATE_RUNNING');
    await cancel({ labels: { vm: 'y' } });
    await Promise.all([a.ended, b.ended]);
    assert.deepEqual((await cancel({ labels: { vm: 'x' } }))['operations'] ?? [], []);
  });

  it('cancel of nothing: neither id nor labels, both, unknown', async () => {
    assert.equal((await failure(cancel({}))).reason, 'INVALID_FIELD');
    assert.equal(
      (await failure(cancel({ operation_id: '01ARZ3NDEKTSV4RRFFQ69G5FAV', labels: { a: 'b' } }))).reason,
      'INVALID_FIELD',
    );
    assert.equal((await failure(cancel({ operation_id: '01ARZ3NDEKTSV4RRFFQ69G5FAV' }))).reason, 'OPERATION_NOT_FOUND');
    assert.equal((await failure(cancel({ operation_id: 'x' }))).reason, 'INVALID_FIELD');
  });

  it('a caller that goes mid-way takes its operation along', async () => {
    const { stream, pid, get, ended } = await start(slow('gone.qcow2'));
    stream.cancel();
    await ended;
    await until(async () => (await get())['state'] === 'OPERATION_STATE_CANCELLED');
    assert.ok(!alive(pid));
  });

  it('a deadline ends the operation as a deadline', async () => {
    // Only the daemon knows of it: a client with a clock of its own may leave just before.
    const late = new Metadata();
    late.set('grpc-timeout', '2000m');
    const error = await failure(daemon.get().stranger.all(CONVERT, slow('late.qcow2'), {}, late));
    assert.equal(error.code, status.DEADLINE_EXCEEDED);
    await until(async () => {
      const { operations } = (await daemon.get().stranger.unary('OperationService/ListOperations', {
        filter: { states: ['OPERATION_STATE_CANCELLED'] },
        page_size: 1000,
      })) as { operations: Message[] };
      const last = operations.at(-1)?.['last'] as { error?: { code: number } } | undefined;
      return last?.error?.code === status.DEADLINE_EXCEEDED;
    });
  });

  it('a detached operation goes on without its caller and can be watched', async () => {
    const { stream, id, ended } = await start(slow('detached.qcow2', 2, { detach: true }));
    stream.cancel();
    await ended;
    const events = await daemon.get().stranger.all('OperationService/WatchOperation', { operation_id: id });
    assert.equal(events.at(-1)?.['state'], 'OPERATION_STATE_SUCCEEDED');
    assert.ok(existsSync(image('detached.qcow2')));
    const after = await daemon.get().stranger.all('OperationService/WatchOperation', { operation_id: id });
    assert.deepEqual(
      after.map((event) => event['state']),
      ['OPERATION_STATE_SUCCEEDED'],
    );
  });

  it('a watch of a failed operation ends OK', async () => {
    const { id, ended } = await start(slow('watch-fail.qcow2'));
    const watch = daemon.get().stranger.stream('OperationService/WatchOperation', { operation_id: id });
    let last: Message | undefined;
    watch.on('data', (event: Message) => (last = event));
    await once(watch, 'data');
    const over = once(watch, 'end');
    await cancel({ operation_id: id });
    await over;
    assert.equal((last?.['error'] as Message)['code'], status.CANCELLED);
    await ended;
  });

  it('a busy path is answered at once with its holder', async () => {
    // There is an image already under the name that the conversion replaces.
    const { stranger } = daemon.get();
    const old = { path: image('busy.qcow2'), format: 'qcow2', size: '1M' };
    await stranger.operation('ImageService/CreateImage', old);
    const { id, ended } = await start(slow('busy.qcow2', 60, { overwrite: true }));
    const source = { source: image('busy.qcow2'), source_format: 'qcow2' };
    const cases: readonly (readonly [rpc: string, request: Message])[] = [
      [CONVERT, slow('busy.qcow2')],
      [CONVERT, slow('other.qcow2', 1, source)],
      ['ImageService/CopyImage', { source: image('busy.qcow2'), target: image('other.qcow2') }],
      ['ImageService/CreateImage', { ...old, overwrite: true }],
      [
        'ImageService/CreateOverlay',
        { backing_file: image('busy.qcow2'), backing_format: 'qcow2', path: image('other.qcow2') },
      ],
      ['ImageService/ResizeImage', { path: image('busy.qcow2'), format: 'qcow2', size: '2M' }],
      ['ImageService/DeleteImage', { path: image('busy.qcow2') }],
      ['ImageService/DeleteImage', { path: image('big.raw') }],
    ];
    for (const [rpc, request] of cases) {
      const error = await failure(stranger.all(rpc, request));
      const what = `${rpc} ${JSON.stringify(request)}: ${error.message}`;
      assert.deepEqual([error.code, error.reason], [status.ABORTED, 'PATH_BUSY'], what);
      assert.equal(error.metadata['holder'], id, what);
      assert.ok(error.retryDelay !== undefined, what);
    }
    await cancel({ operation_id: id });
    await ended;
  });

  it('many may read one image at a time', async () => {
    await Promise.all(
      [1, 2].map((n) =>
        daemon.get().stranger.operation('ImageService/CopyImage', {
          source: image('big.raw'),
          target: image(`reader-${String(n)}`),
        }),
      ),
    );
  });

  it('waits in a queue with a place, and refuses when it is full', async () => {
    const running = [await start(slow('q1.qcow2')), await start(slow('q2.qcow2'))];
    const queued = [];
    for (const n of [3, 4, 5]) queued.push(await start(slow(`q${String(n)}.qcow2`), 'OPERATION_STATE_QUEUED'));
    assert.deepEqual(await Promise.all(queued.map(async ({ get }) => (await get())['queue_position'])), [1, 2, 3]);
    const error = await failure(daemon.get().stranger.all(CONVERT, slow('q6.qcow2')));
    assert.equal(error.code, status.RESOURCE_EXHAUSTED);
    assert.equal(error.reason, 'TOO_MANY_OPERATIONS');
    // Short work does not wait behind long work.
    await daemon
      .get()
      .stranger.operation('ImageService/CreateImage', { path: image('short.qcow2'), format: 'qcow2', size: '1G' });
    for (const { id, ended } of [...queued, ...running]) {
      await cancel({ operation_id: id });
      await ended;
    }
  });

  it('the same request id from 50 callers: one operation, 50 equal results; the first to go cancels nothing', async () => {
    const request = slow('once.qcow2', 2, { request_id: 'once' });
    const callers = Array.from({ length: 50 }, () => new Stranger(daemon.get().address));
    const leaver = new Stranger(daemon.get().address);
    const leaving = leaver.stream(CONVERT, request);
    leaving.on('error', () => undefined);
    leaving.on('data', () => undefined);
    const lasts: (Message | undefined)[] = callers.map(() => undefined);
    const results = callers.map((caller, n) => {
      const stream = caller.stream(CONVERT, request);
      stream.on('data', (event: Message) => (lasts[n] = event));
      return once(stream, 'end');
    });
    await until(() => !lasts.includes(undefined));
    leaving.cancel();
    await Promise.all(results);
    assert.equal(new Set(lasts.map((last) => JSON.stringify(last?.['result']))).size, 1);
    assert.equal(new Set(lasts.map((last) => last?.['operation_id'])).size, 1);
    for (const caller of [...callers, leaver]) caller.close();
    const { operations } = (await daemon
      .get()
      .stranger.unary('OperationService/ListOperations', { page_size: 1000 })) as { operations: Message[] };
    assert.equal(operations.filter((operation) => operation['request_id'] === 'once').length, 1);
  });

  it('the result of a request id is answered again, marked; other arguments are refused; a failure is tried anew', async () => {
    const { stranger } = daemon.get();
    const request = { path: image('idem.qcow2'), format: 'qcow2', size: '1M', request_id: 'idem' };
    const first = await stranger.operation('ImageService/CreateImage', request);
    const again = await stranger.operation('ImageService/CreateImage', {
      ...request,
      labels: { other: 'labels' },
      detach: true,
    });
    assert.equal(again['replayed'], true);
    assert.deepEqual(again['image'], first['image']);
    const error = await failure(stranger.all('ImageService/CreateImage', { ...request, size: '2M' }));
    assert.equal(error.reason, 'REQUEST_ID_REUSED');
    // A request id belongs to a method.
    await stranger.operation('ImageService/DeleteImage', { path: image('idem.qcow2'), request_id: 'idem' });

    const { id, ended } = await start(slow('retry.qcow2', 60, { request_id: 'retry' }));
    await cancel({ operation_id: id });
    await ended;
    const second = await start(slow('retry.qcow2', 60, { request_id: 'retry' }));
    assert.notEqual(second.id, id);
    const answer = (await stranger.unary('OperationService/GetOperation', { operation_id: second.id }))[
      'operation'
    ] as Message;
    assert.equal(answer['attempt'], 2);
    await cancel({ operation_id: second.id });
    await second.ended;
  });

  it('lists by page and filter', async () => {
    const { stranger } = daemon.get();
    for (let n = 0; n < 5; n++)
      await stranger.operation('ImageService/CreateImage', {
        path: image(`page-${String(n)}`),
        format: 'raw',
        size: '1K',
        labels: { page: 'yes' },
      });
    const seen: unknown[] = [];
    let token: unknown = '';
    let pages = 0;
    do {
      const page = (await stranger.unary('OperationService/ListOperations', {
        filter: { labels: { page: 'yes' }, methods: ['CreateImage'] },
        page_size: 2,
        page_token: token,
      })) as { operations?: Message[]; next_page_token?: string };
      seen.push(...(page.operations ?? []).map((operation) => operation['operation_id']));
      token = page.next_page_token ?? '';
      pages += 1;
    } while (token !== '');
    assert.equal(seen.length, 5);
    assert.equal(pages, 3);
    assert.deepEqual(seen, [...seen].sort());
    assert.equal(
      (await failure(stranger.unary('OperationService/ListOperations', { page_token: 'nonsense' }))).reason,
      'INVALID_FIELD',
    );
    assert.equal(
      (await failure(stranger.unary('OperationService/GetOperation', { operation_id: '01ARZ3NDEKTSV4RRFFQ69G5FAV' })))
        .reason,
      'OPERATION_NOT_FOUND',
    );
  });

  it('watching all sees every change of state, filtered', async () => {
    const stream = daemon
      .get()
      .stranger.stream('OperationService/WatchOperations', { filter: { labels: { seen: 'yes' } } });
    const seen: string[] = [];
    const ids = new Set<unknown>();
    stream.on('data', ({ event }: { event?: Message }) => {
      if (event === undefined) return;
      seen.push(String(event['state']));
      ids.add(event['operation_id']);
    });
    stream.on('error', () => undefined);
    // Answered on the same connection, so the watch has arrived.
    await allOver(daemon.get().stranger);
    const request = (name: string) => ({ path: image(name), format: 'raw', size: '1K' });
    const create = (more: Message) => daemon.get().stranger.operation('ImageService/CreateImage', more);
    await create(request('unseen'));
    await create({ ...request('seen'), labels: { seen: 'yes' } });
    await until(() => seen.includes('OPERATION_STATE_SUCCEEDED'));
    stream.cancel();
    assert.deepEqual(
      [...new Set(seen)],
      ['OPERATION_STATE_QUEUED', 'OPERATION_STATE_RUNNING', 'OPERATION_STATE_SUCCEEDED'],
    );
    assert.equal(ids.size, 1);
  });

  it('serves 200 watchers of one operation; one that never reads does not grow the daemon', async () => {
    const { id, ended } = await start(slow('watched.qcow2', 4));
    const memory = () =>
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${String(daemon.get().process.pid)}/status`, 'utf8'))?.[1]);
    const sleeper = new Stranger(daemon.get().address);
    const asleep = sleeper.stream('OperationService/WatchOperation', { operation_id: id });
    asleep.on('error', () => undefined);
    asleep.once('data', () => asleep.pause());
    const before = memory();
    const watchers = Array.from({ length: 200 }, () =>
      daemon.get().stranger.all('OperationService/WatchOperation', { operation_id: id }),
    );
    const all = await Promise.all(watchers);
    assert.ok(all.every((events) => events.at(-1)?.['state'] === 'OPERATION_STATE_SUCCEEDED'));
    const most = Math.max(...all.map((events) => events.length));
    assert.ok(most <= 30, `${String(most)} events in about 4 s`);
    assert.equal(await ended, undefined);
    assert.ok(memory() - before < 60 * 1024, `grew from ${String(before)} to ${String(memory())} KiB`);
    asleep.cancel();
    sleeper.close();
  });
});
