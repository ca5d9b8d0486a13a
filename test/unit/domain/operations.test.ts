import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { HostlerError } from '../../../src/domain/model/errors.js';
import { OperationHub } from '../../../src/domain/operations/hub.js';
import { LiveOperation } from '../../../src/domain/operations/live-operation.js';
import { LockTable } from '../../../src/domain/operations/resources/locks.js';
import { assertTransition, type OperationRecord, type OperationState } from '../../../src/domain/operations/record.js';
import { fingerprint } from '../../../src/domain/operations/request-ids.js';
import { Slots, type Slot } from '../../../src/domain/operations/resources/slots.js';
import { ReadCallLimit } from '../../../src/domain/verbs/read-call-limit.js';
import { until } from '../../support/until.js';

const record = (id = 'A'): OperationRecord => ({
  id,
  method: 'ConvertImage',
  caller: 'x',
  labels: {},
  addresses: [],
  spec: {},
  attempt: 1,
  createTime: 0,
  detached: false,
  state: 'QUEUED',
  cancellable: true,
  eventTime: 0,
  warnings: [],
});
const reasonOf = (work: () => unknown) => {
  try {
    work();
    return 'none';
  } catch (error) {
    return error instanceof HostlerError ? error.reason : String(error);
  }
};
const never = new AbortController().signal;

describe('LockTable', () => {
  const holder = (operationId: string) => ({ operationId, method: 'M', sinceMs: 0 });
  const key = (name: string, mode: 'read' | 'write') => ({ key: name, mode, path: `/${name}` });

  it('many readers, one writer', () => {
    const locks = new LockTable();
    const release = [locks.acquire(holder('1'), [key('a', 'read')]), locks.acquire(holder('2'), [key('a', 'read')])];
    assert.equal(
      reasonOf(() => locks.acquire(holder('3'), [key('a', 'write')])),
      'PATH_BUSY',
    );
    for (const each of release) each();
    locks.acquire(holder('3'), [key('a', 'write')]);
    assert.equal(
      reasonOf(() => locks.acquire(holder('4'), [key('a', 'read')])),
      'PATH_BUSY',
    );
  });
  it('all or nothing', () => {
    const locks = new LockTable();
    locks.acquire(holder('1'), [key('b', 'write')]);
    assert.equal(
      reasonOf(() => locks.acquire(holder('2'), [key('a', 'write'), key('b', 'read')])),
      'PATH_BUSY',
    );
    locks.acquire(holder('3'), [key('a', 'write')]);
  });
  it('an operation is not in its own way, and releases everything', () => {
    const locks = new LockTable();
    locks.acquire(holder('1'), [key('a', 'read'), key('a', 'write')])();
    assert.equal(locks.size, 0);
  });
});

describe('Readers', () => {
  it('one caller leaves places to others, and gets them back', () => {
    const readers = new ReadCallLimit(4, 3);
    const leaves = [1, 2, 3].map(() => readers.enter('greedy'));
    const enter = (caller: string) => reasonOf(() => readers.enter(caller));
    assert.deepEqual(['greedy', 'modest', 'modest'].map(enter), ['CALLER_AT_LIMIT', 'none', 'TOO_MANY_OPERATIONS']);
    leaves[0]?.();
    assert.deepEqual(['greedy', 'greedy'].map(enter), ['none', 'CALLER_AT_LIMIT']);
  });
});

describe('Slots', () => {
  const limits = {
    running: { io: 2, none: 1, export: 1, open: 1, upload: 1, plan: 2 },
    perFilesystem: 1,
    callersPart: 1,
    queued: 2,
    queuedPerCaller: 2,
  };

  it('a busy filesystem does not hold up the others', async () => {
    const slots = new Slots(limits);
    const places: number[] = [];
    slots.enter({ slot: 'io', filesystems: ['a'], caller: 'a' }, () => undefined);
    const waiting = slots.enter({ slot: 'io', filesystems: ['a'], caller: 'a' }, (place) => places.push(place));
    await slots.enter({ slot: 'io', filesystems: ['b'], caller: 'a' }, () => undefined).granted(never);
    assert.deepEqual([slots.running, slots.waiting], [2, 1]);
    await new Promise(setImmediate);
    await new Promise(setImmediate);
    assert.equal(places.at(-1), 1);
    waiting.release();
    assert.equal(slots.waiting, 0);
  });
  it('callers take turns, and one cannot fill the queue', async () => {
    const slots = new Slots({ ...limits, queued: 8, queuedPerCaller: 4 });
    const wish = (caller: string) => ({ slot: 'none' as const, filesystems: [], caller });
    const order: string[] = [];
    const started: { release: () => void }[] = [];
    const enter = (caller: string) => {
      const ticket = slots.enter(wish(caller), () => undefined);
      void ticket.granted(never).then(() => {
        order.push(caller);
        started.push(ticket);
      });
    };
    for (let n = 0; n < 5; n++) enter('greedy');
    assert.equal(
      reasonOf(() => slots.enter(wish('greedy'), () => undefined)),
      'TOO_MANY_OPERATIONS',
    );
    enter('modest');
    enter('modest');
    for (let n = 0; n < 7; n++) {
      while (started.length === 0) await new Promise(setImmediate);
      started.shift()?.release();
    }
    assert.deepEqual(order, ['greedy', 'modest', 'greedy', 'modest', 'greedy', 'greedy', 'greedy']);
  });
  it('is full at its limit, and frees a place on release', async () => {
    const slots = new Slots(limits);
    const [first, second] = [1, 2, 3].map(() =>
      slots.enter({ slot: 'none', filesystems: [], caller: 'a' }, () => undefined),
    );
    assert.equal(
      reasonOf(() => slots.enter({ slot: 'none', filesystems: [], caller: 'a' }, () => undefined)),
      'TOO_MANY_OPERATIONS',
    );
    first?.release();
    await second?.granted(never);
    slots.enter({ slot: 'none', filesystems: [], caller: 'a' }, () => undefined);
  });
  it('one caller leaves some of each to others, in a slot and on a filesystem', async () => {
    const slots = new Slots({
      running: { io: 4, none: 8, export: 1, open: 4, upload: 4, plan: 4 },
      perFilesystem: 2,
      callersPart: 0.75,
      queued: 20,
      queuedPerCaller: 20,
    });
    const running = new Map<string, number>();
    const enter = (slot: Slot, caller: string, filesystems: string[] = []) => {
      const key = `${caller} ${slot} ${filesystems.join()}`;
      void slots
        .enter({ slot, filesystems, caller }, () => undefined)
        .granted(never)
        .then(() => running.set(key, (running.get(key) ?? 0) + 1));
    };
    for (let n = 0; n < 9; n++) enter('none', 'greedy');
    for (let n = 0; n < 2; n++) enter('io', 'greedy', ['a']);
    for (let n = 0; n < 3; n++) enter('io', 'greedy', [`b${String(n)}`]);
    for (let n = 0; n < 2; n++) enter('none', 'modest');
    enter('io', 'modest', ['a']);
    enter('export', 'greedy');
    for (let n = 0; n < 4; n++) enter('plan', 'greedy');
    enter('plan', 'modest');
    await new Promise(setImmediate);
    assert.deepEqual(Object.fromEntries(running), {
      'greedy none ': 6,
      'greedy io a': 1,
      'greedy io b0': 1,
      'greedy io b1': 1,
      'modest none ': 2,
      'modest io a': 1,
      // Of one there is nothing to leave.
      'greedy export ': 1,
      'greedy plan ': 3,
      'modest plan ': 1,
    });
  });
  it('what stands does not wait behind what its own caller keeps open', () => {
    const slots = new Slots({ ...limits, running: { ...limits.running, export: 4 }, callersPart: 0.75 });
    const enter = (caller: string) =>
      reasonOf(() => slots.enter({ slot: 'export', filesystems: [], caller, standing: true }, () => undefined));
    assert.deepEqual(['greedy', 'greedy', 'greedy', 'greedy', 'modest', 'modest'].map(enter), [
      'none',
      'none',
      'none',
      'CALLER_AT_LIMIT',
      'none',
      'none',
    ]);
  });
  it('a cancelled wait throws the reason of the cancel', async () => {
    const slots = new Slots(limits);
    slots.enter({ slot: 'export', filesystems: [], caller: 'a' }, () => undefined);
    const abort = new AbortController();
    const granted = slots
      .enter({ slot: 'export', filesystems: [], caller: 'a' }, () => undefined)
      .granted(abort.signal);
    abort.abort(new HostlerError('CANCELLED', 'x'));
    await assert.rejects(granted, { reason: 'CANCELLED' });
  });
});

it('states follow the one table', () => {
  const all: OperationState[] = ['QUEUED', 'RUNNING', 'CANCELLING', 'SUCCEEDED', 'FAILED', 'CANCELLED'];
  const allowed = all.flatMap((from) =>
    all.filter((to) => reasonOf(() => assertTransition(from, to)) === 'none').map((to) => `${from} ${to}`),
  );
  assert.deepEqual(allowed, [
    'QUEUED RUNNING',
    'QUEUED CANCELLING',
    'QUEUED FAILED',
    'RUNNING CANCELLING',
    'RUNNING SUCCEEDED',
    'RUNNING FAILED',
    'CANCELLING SUCCEEDED',
    'CANCELLING FAILED',
    'CANCELLING CANCELLED',
  ]);
});

describe('LiveOperation', () => {
  const live = () =>
    new LiveOperation(
      record(),
      () => 1,
      () => undefined,
    );

  it('the last caller to leave cancels, unless somebody detached', () => {
    const alone = live();
    const [first, second] = [alone.join(false), alone.join(false)];
    first('CANCELLED');
    first('CANCELLED');
    assert.equal(alone.record.state, 'QUEUED');
    second('CANCELLED');
    assert.equal(alone.record.state, 'CANCELLING');
    const kept = live();
    const leave = kept.join(false);
    kept.join(true)('CANCELLED');
    leave('CANCELLED');
    assert.equal(kept.record.state, 'QUEUED');
  });
  it('has each warning once, and the 64 latest at most', () => {
    const operation = live();
    for (const message of ['a', 'b', 'a']) operation.warn({ reason: 'TRANSFER_RESTARTED', message });
    assert.equal(operation.record.warnings.length, 2);
    for (let n = 0; n < 1000; n++) operation.warn({ reason: 'TRANSFER_RESTARTED', message: String(n) });
    const messages = operation.record.warnings.map(({ message }) => message);
    assert.deepEqual([messages.length, messages.at(0), messages.at(-1)], [64, '936', '999']);
  });
  it('a cancel waits for a phase that may be torn; a request for one is refused meanwhile', () => {
    const operation = live();
    const leave = operation.join(false);
    operation.become('RUNNING');
    operation.enter('COMMITTING', false);
    assert.equal(
      reasonOf(() => operation.cancel(new HostlerError('CANCELLED', 'x'))),
      'NOT_CANCELLABLE',
    );
    leave('CALLER_DEADLINE');
    assert.equal(operation.record.state, 'RUNNING');
    operation.enter('VERIFYING', true);
    assert.equal(operation.record.state, 'CANCELLING');
    assert.equal((operation.signal.reason as HostlerError).reason, 'CALLER_DEADLINE');
  });
  it('a cancel that waits is over when somebody joins again, detached or not', () => {
    for (const detach of [false, true]) {
      const operation = live();
      operation.become('RUNNING');
      operation.enter('COMMITTING', false);
      operation.join(false)('CANCELLED');
      const leave = operation.join(detach);
      operation.enter('VERIFYING', true);
      assert.equal(operation.record.state, 'RUNNING');
      // The last one who leaves still takes it along.
      leave('CANCELLED');
      assert.equal(operation.record.state, detach ? 'RUNNING' : 'CANCELLING');
    }
  });
  it('of several who come again each has to leave before it is cancelled', () => {
    const operation = live();
    operation.become('RUNNING');
    operation.enter('COMMITTING', false);
    operation.join(false)('CALLER_DEADLINE');
    const [first, second] = [operation.join(false), operation.join(false)];
    first('CANCELLED');
    operation.enter('VERIFYING', true);
    assert.equal(operation.record.state, 'RUNNING');
    second('CANCELLED');
    assert.equal(operation.cancelledFor?.reason, 'CANCELLED');
  });
  describe('while the daemon stops', () => {
    const stopping = () => new HostlerError('SHUTTING_DOWN', 'x');
    const asked = () => new HostlerError('CANCELLED', 'y');

    it("a caller's cancel is the last word", () => {
      const operation = live();
      const why = () => operation.cancelledFor?.reason;
      operation.cancel(stopping());
      assert.equal(why(), 'SHUTTING_DOWN');
      operation.cancel(asked());
      assert.equal(why(), 'CANCELLED');
      operation.cancel(stopping());
      assert.equal(why(), 'CANCELLED');
    });
    it('a cancel that comes when it has been decided that it goes on is refused', async () => {
      const operation = live();
      operation.cancel(stopping());
      operation.decideToSuspend();
      assert.equal(
        reasonOf(() => operation.cancel(asked())),
        'SHUTTING_DOWN',
      );
      operation.suspend();
      assert.equal(
        reasonOf(() => operation.cancel(asked())),
        'SHUTTING_DOWN',
      );
      assert.equal((await operation.finished).state, 'CANCELLING');
      await assert.rejects(operation.ending(), { reason: 'SHUTTING_DOWN' });
    });
    it('one that has ended is not cancelled again', async () => {
      const operation = live();
      operation.cancel(stopping());
      operation.finish(operation.ended({ state: 'CANCELLED' }));
      operation.cancel(asked());
      assert.equal((await operation.ending()).state, 'CANCELLED');
    });
  });
  it('a slow watcher gets the latest value and always the end', async () => {
    const operation = live();
    operation.become('RUNNING');
    const seen: (bigint | undefined)[] = [];
    const watching = (async () => {
      for await (const { progress } of operation.watch(never, 200)) {
        seen.push(progress?.doneBytes);
        await sleep(30);
      }
    })();
    for (let done = 1n; done <= 200n; done++) {
      operation.update({ progress: { doneBytes: done, skippedBytes: 0n } });
      await sleep(1);
    }
    operation.finish(operation.ended({ state: 'SUCCEEDED' }));
    await watching;
    assert.ok(seen.length < 10, `${String(seen.length)} events`);
    assert.equal(seen.at(-1), 200n);
  });
});

describe('OperationHub', () => {
  it('sends every change of state, and of the progress the latest', async () => {
    const hub = new OperationHub(200, 1);
    const abort = new AbortController();
    const seen: string[] = [];
    const watching = (async () => {
      for await (const { record: each } of hub.watch([], () => true, abort.signal))
        if (each === undefined) seen.push('no change');
        else seen.push(`${each.state} ${String(each.progress?.doneBytes ?? '')}`);
    })().catch(() => undefined);
    const operation = new LiveOperation(record(), () => 1, hub.publish);
    operation.announce();
    operation.become('RUNNING');
    for (let done = 0n; done < 50n; done++) operation.update({ progress: { doneBytes: done, skippedBytes: 0n } });
    await until(() => seen.length === 3);
    operation.finish(operation.ended({ state: 'SUCCEEDED' }));
    await until(() => seen.length === 4);
    abort.abort(new HostlerError('CANCELLED', 'x'));
    await watching;
    assert.deepEqual(seen, ['QUEUED ', 'RUNNING ', 'RUNNING 49', 'SUCCEEDED 49']);
  });
  it('ends a watcher that is too far behind', async () => {
    const hub = new OperationHub(200, 1);
    hub.publish(record('0'), true);
    const watch = hub.watch([record('0')], () => true, never);
    await watch.next();
    for (let n = 0; n < 10_002; n++) hub.publish(record(String(n)), true);
    await assert.rejects(watch.next(), { reason: 'WATCHER_TOO_SLOW' });
  });
});

it('fingerprints do not depend on the order of keys', () => {
  assert.equal(fingerprint({ a: 1n, b: { c: [1], d: 2 } }), fingerprint({ b: { d: 2, c: [1] }, a: 1n }));
  assert.notEqual(fingerprint({ a: 1n }), fingerprint({ a: '1' }));
});
