/** Operations: events, lists, watches, cancels. */
import assert from 'node:assert/strict';
import { OperationPhase, OperationState, type OperationEvent } from '../../src/gen/hostler/v1/operation.js';
import type { WatchOperationsResponse } from '../../src/gen/hostler/v1/operation_service.js';
import { RUN_LABEL, until } from '../agent/agent.js';
import { createDirectory, removeDirectory } from '../agent/file-rpcs.js';
import * as image from '../agent/image-rpcs.js';
import {
  cancelOperation,
  getOperation,
  listOperations,
  watchOperation,
  watchOperations,
} from '../agent/operation-rpcs.js';
import { refusalIn } from '../agent/refusal.js';
import type { Bench } from '../bench/bench.js';
import { slowWork } from '../bench/work.js';
import { MIB, noise } from '../content/noise.js';
import { isRefusal, refused } from '../expect.js';
import { about } from '../runner/case.js';
import { serves } from '../runner/needs.js';

const {
  OPERATION_STATE_RUNNING: RUNNING,
  OPERATION_STATE_SUCCEEDED: SUCCEEDED,
  OPERATION_STATE_FAILED: FAILED,
  OPERATION_STATE_CANCELLED: CANCELLED,
} = OperationState;
const UNKNOWN = '01AAAAAAAAAAAAAAAAAAAAAAAA';

const operationOf = async (at: Bench, operationId: string) => {
  const { operation } = await at.agent.ask(getOperation, { operationId });
  if (operation === undefined) throw new Error('GetOperation answered without an operation');
  return operation;
};

/** Nothing is in the folder, whether it is shown or not. */
async function isEmpty(at: Bench): Promise<void> {
  assert.deepEqual(await at.names(), []);
  await at.agent.operate(removeDirectory, { path: at.folder });
  await at.agent.operate(createDirectory, { path: at.folder });
}

/** The source of the slow work goes, so that only what is left of the work itself shows. */
async function onlySourceIsLeft(at: Bench): Promise<void> {
  await at.agent.operate(image.deleteImage, { path: at.path('slow.raw') });
  await isEmpty(at);
}

/** Within a phase absolute counters only grow, and never pass the total. */
function assertForward(events: readonly OperationEvent[]): void {
  let before = { phase: OperationPhase.OPERATION_PHASE_UNSPECIFIED, doneBytes: 0n };
  for (const { phase, progress } of events) {
    if (progress === undefined) continue;
    const { doneBytes, totalBytes } = progress;
    if (totalBytes !== undefined) assert.ok(doneBytes <= totalBytes, 'more is done than there is');
    if (phase === before.phase) assert.ok(doneBytes >= before.doneBytes, 'the progress goes backwards');
    before = { phase, doneBytes };
  }
}

const events = about('operations', [
  {
    name: 'the first event has the id, and the last one the result',
    run: async (at) => {
      const path = at.path('disk.raw');
      const virtualSize = { $case: 'size' as const, value: '1M' };
      const done = await at.agent.operate(image.createImage, { path, format: 'raw', virtualSize });
      assert.match(done.events[0]?.operationId ?? '', /^[0-9A-HJKMNP-TV-Z]{26}$/);
      assert.ok(done.events.every(({ operationId }) => operationId === done.id));
      assert.ok(done.events.slice(0, -1).every(({ result, error }) => result === undefined && error === undefined));
    },
  },
  {
    name: 'progress only grows within a phase, and never passes its total',
    run: async (at) => {
      const source = await at.write('disk.raw', noise(8 * MIB));
      const request = { source, sourceFormat: 'raw', target: at.path('disk.qcow2'), targetFormat: 'qcow2' };
      const slowly = { ...request, bandwidthBytesPerSecond: 4 * MIB };
      const { events: all } = await at.agent.operate(image.convertImage, slowly);
      assert.ok(all.filter(({ progress }) => (progress?.doneBytes ?? 0n) > 0n).length > 1, 'there is progress');
      assertForward(all);
    },
  },
  {
    name: 'a running operation is listed with its method, labels, addresses and caller',
    run: async (at) => {
      const { id, target } = await slowWork(at, { labels: { purpose: at.folder } });
      const filter = { labels: { purpose: at.folder }, states: [RUNNING], methods: ['ConvertImage'] };
      const { operations } = await at.agent.ask(listOperations, { filter });
      assert.deepEqual(
        operations.map(({ operationId, method, addresses, labels, detached }) => [
          operationId,
          method,
          [...addresses].sort(),
          labels['purpose'],
          detached,
        ]),
        [[id, 'ConvertImage', [target, at.path('slow.raw')], at.folder, false]],
      );
      assert.notEqual(operations[0]?.caller, '');
      assert.deepEqual(
        (await at.agent.ask(listOperations, { filter: { ...filter, methods: ['CopyImage'] } })).operations,
        [],
      );
    },
  },
  {
    name: 'while an operation runs nothing has the name of its target',
    run: async (at) => {
      await slowWork(at);
      assert.deepEqual(await at.names(), ['slow.raw']);
    },
  },
  {
    name: 'what an operation works on is PATH_BUSY for others, and the facts name the operation',
    run: async (at) => {
      const { id, target } = await slowWork(at);
      const virtualSize = { $case: 'size' as const, value: '1M' };
      const onto = at.agent.operate(image.createImage, { path: target, format: 'raw', virtualSize });
      const { facts, hasDelay } = await refused(onto, 'PATH_BUSY');
      assert.ok(
        Object.values(facts).some((fact) => fact.includes(id)),
        `facts: ${JSON.stringify(facts)}`,
      );
      assert.ok(hasDelay, 'it says how long to wait');
      await refused(at.agent.operate(image.deleteImage, { path: at.path('slow.raw') }), 'PATH_BUSY');
    },
  },
  {
    name: 'an operation that fails ends its call, its last event and GetOperation with the same error',
    run: async (at) => {
      const source = await at.write('disk.raw', noise(MIB));
      const stream = at.agent.begin(image.convertImage, {
        ...{ source, sourceFormat: 'raw', target: at.path('disk.qcow2'), targetFormat: 'qcow2' },
        attributes: { owner: 'nobody-has-this-name' },
      });
      const seen: OperationEvent[] = [];
      stream.on('data', (event: OperationEvent) => seen.push(event));
      await new Promise((resolve) => stream.once('error', resolve));
      const last = seen.at(-1);
      if (last === undefined) return; // refused before it was an operation
      const error = last.error === undefined ? undefined : refusalIn(last.error);
      const { last: known } = await operationOf(at, last.operationId);
      assert.equal(known?.state, FAILED);
      assert.equal(known.error === undefined ? undefined : refusalIn(known.error).reason, error?.reason);
    },
  },
  {
    name: 'a watch begins with the state at once, and ends OK also when the operation fails',
    run: async (at) => {
      const { id, failed } = await slowWork(at);
      const watched = at.agent.read(watchOperation, { operationId: id });
      await at.agent.ask(cancelOperation, { operationId: id });
      await failed;
      const seen = await watched;
      assert.equal(seen[0]?.operationId, id);
      assert.equal(seen.at(-1)?.state, CANCELLED);
      assert.equal((await at.agent.read(watchOperation, { operationId: id })).at(-1)?.state, CANCELLED);
    },
  },
  {
    name: 'a watch of many operations from a cursor brings what has ended since',
    needs: [serves('cursors')],
    run: async (at) => {
      const { cursor } = await at.agent.ask(listOperations, { pageSize: 1 });
      const virtualSize = { $case: 'size' as const, value: '1M' };
      const { id } = await at.agent.operate(image.createImage, { path: at.path('a'), format: 'raw', virtualSize });
      const ends = ({ event }: WatchOperationsResponse) => event?.operationId === id && event.state === SUCCEEDED;
      await until(at.agent.open(watchOperations, { cursor }), ends);
    },
  },
  {
    name: 'an unknown operation is OPERATION_NOT_FOUND',
    run: async (at) => {
      await refused(at.agent.ask(getOperation, { operationId: UNKNOWN }), 'OPERATION_NOT_FOUND');
      await refused(at.agent.read(watchOperation, { operationId: UNKNOWN }), 'OPERATION_NOT_FOUND');
      await refused(at.agent.ask(cancelOperation, { operationId: UNKNOWN }), 'OPERATION_NOT_FOUND');
    },
  },
  {
    name: 'the pages of a list have each operation once, oldest first or newest first',
    run: async (at) => {
      const labels = { page: at.folder };
      const ids: string[] = [];
      for (const name of ['a', 'b', 'c', 'd', 'e'])
        ids.push((await at.agent.operate(createDirectory, { path: at.path(name), labels })).id);
      for (const newestFirst of [false, true]) {
        const found: string[] = [];
        for (let pageToken = ''; ;) {
          const page = await at.agent.ask(listOperations, { filter: { labels }, pageSize: 2, pageToken, newestFirst });
          found.push(...page.operations.map(({ operationId }) => operationId));
          pageToken = page.nextPageToken;
          if (pageToken === '') break;
        }
        assert.deepEqual(found, newestFirst ? ids.toReversed() : ids);
      }
    },
  },
  {
    name: 'a page token that no list has given is INVALID_FIELD',
    run: async (at) => {
      await refused(at.agent.ask(listOperations, { pageToken: 'nonsense' }), 'INVALID_FIELD');
    },
  },
  {
    name: 'an operation that has ended is found by its reason, and by its time',
    run: async (at) => {
      const { id, failed } = await slowWork(at);
      await at.agent.ask(cancelOperation, { operationId: id });
      await failed;
      const { createTime } = await operationOf(at, id);
      const filter = { reasons: ['CANCELLED'], since: createTime, labels: { [RUN_LABEL]: at.world.run } };
      const { operations } = await at.agent.ask(listOperations, { filter });
      assert.ok(operations.some(({ operationId }) => operationId === id));
      const before = await at.agent.ask(listOperations, { filter: { ...filter, since: undefined, until: createTime } });
      assert.ok(!before.operations.some(({ operationId }) => operationId === id));
    },
  },
]);

const cancels = about('cancels', [
  {
    name: 'a cancelled operation ends as CANCELLED and leaves nothing',
    run: async (at) => {
      const { id, failed } = await slowWork(at);
      const { operations } = await at.agent.ask(cancelOperation, { operationId: id });
      assert.deepEqual(
        operations.map(({ operationId, state }) => [operationId, state]),
        [[id, CANCELLED]],
      );
      isRefusal(await failed, 'CANCELLED');
      await onlySourceIsLeft(at);
    },
  },
  {
    name: 'operations are cancelled by their labels',
    run: async (at) => {
      const labels = { group: at.folder };
      const { id, failed } = await slowWork(at, { labels });
      const { operations } = await at.agent.ask(cancelOperation, { labels });
      assert.deepEqual(
        operations.map(({ operationId }) => operationId),
        [id],
      );
      isRefusal(await failed, 'CANCELLED');
      assert.deepEqual((await at.agent.ask(cancelOperation, { labels: { group: 'nothing has it' } })).operations, []);
    },
  },
  {
    name: 'an operation ends when its caller goes, and leaves nothing',
    run: async (at) => {
      const { id, leave } = await slowWork(at);
      const watched = at.agent.read(watchOperation, { operationId: id });
      leave();
      assert.equal((await watched).at(-1)?.state, CANCELLED);
      await onlySourceIsLeft(at);
    },
  },
  {
    name: 'an operation that is detached runs on when its caller goes',
    run: async (at) => {
      const { id, leave } = await slowWork(at, { detach: true });
      leave();
      const { detached, last } = await operationOf(at, id);
      assert.deepEqual([detached, last?.state], [true, RUNNING]);
      await at.agent.ask(cancelOperation, { operationId: id });
    },
  },
  {
    name: 'a deadline that passes ends the operation',
    run: async (at) => {
      const { id, failed } = await slowWork(at, { deadlineMs: 4000 });
      const { code } = await failed;
      assert.equal(code, 4, 'DEADLINE_EXCEEDED');
      assert.equal((await at.agent.read(watchOperation, { operationId: id })).at(-1)?.state, CANCELLED);
    },
  },
  {
    name: 'a cancel of an operation that has ended answers how it ended',
    run: async (at) => {
      const { id } = await at.agent.operate(createDirectory, { path: at.path('folder') });
      const { operations } = await at.agent.ask(cancelOperation, { operationId: id });
      assert.deepEqual(
        operations.map(({ state }) => state),
        [SUCCEEDED],
      );
      assert.deepEqual(await at.names(), ['folder']);
    },
  },
  {
    name: 'a cancel with neither an id nor labels, or with both, is INVALID_FIELD',
    run: async (at) => {
      await refused(at.agent.ask(cancelOperation, {}), 'INVALID_FIELD');
      const both = { operationId: UNKNOWN, labels: { some: 'thing' } };
      await refused(at.agent.ask(cancelOperation, both), 'INVALID_FIELD');
    },
  },
]);

export const operationCases = [...events, ...cancels];
