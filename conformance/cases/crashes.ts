/** What comes after the agent was killed. Each case kills it, so no other runs meanwhile. */
import assert from 'node:assert/strict';
import { OperationState } from '../../src/gen/hostler/v1/operation.js';
import { until } from '../agent/agent.js';
import * as file from '../agent/file-rpcs.js';
import * as image from '../agent/image-rpcs.js';
import { getOperation, listOperations, watchOperations } from '../agent/operation-rpcs.js';
import { refusalIn } from '../agent/refusal.js';
import { slowWork } from '../bench/work.js';
import { MIB, noise } from '../content/noise.js';
import { isRefusal, sameBytes } from '../expect.js';
import { about, type Behaviour } from '../runner/case.js';
import { restartable } from '../runner/needs.js';

const behaviours: readonly Behaviour[] = [
  {
    name: 'an operation that was running is FAILED with AGENT_RESTARTED, and leaves nothing',
    run: async (at) => {
      const { id, target, failed } = await slowWork(at, { detach: true });
      await at.restart();
      assert.equal((await failed).code, 14, 'the call ends as UNAVAILABLE');
      const { operation } = await at.agent.ask(getOperation, { operationId: id });
      assert.equal(operation?.last?.state, OperationState.OPERATION_STATE_FAILED);
      assert.ok(operation.last.error !== undefined);
      isRefusal(refusalIn(operation.last.error), 'AGENT_RESTARTED');
      assert.equal(await at.exists(target), false);
      await at.agent.operate(image.deleteImage, { path: at.path('slow.raw') });
      await at.agent.operate(file.removeDirectory, { path: at.folder });
      await at.agent.operate(file.createDirectory, { path: at.folder });
    },
  },
  {
    name: 'its request runs again under the same request_id, as the next attempt',
    run: async (at) => {
      const requestId = at.folder.slice(-100);
      const { failed } = await slowWork(at, { requestId });
      await at.restart();
      await failed;
      const { id } = await slowWork(at, { requestId });
      assert.equal((await at.agent.ask(getOperation, { operationId: id })).operation?.attempt, 2);
    },
  },
  {
    name: 'a request that had succeeded gets its result again',
    run: async (at) => {
      const virtualSize = { $case: 'size' as const, value: '1M' };
      const request = { path: at.path('disk.raw'), format: 'raw', virtualSize, requestId: at.folder.slice(-100) };
      const first = await at.agent.operate(image.createImage, request);
      await at.restart();
      const again = await at.agent.operate(image.createImage, request);
      assert.deepEqual([again.id, again.result.replayed], [first.id, true]);
    },
  },
  {
    name: 'an upload continues after the bytes that were durable',
    run: async (at) => {
      const target = at.path('disk.raw');
      const { uploadId } = await at.upload(target, 'raw', noise(2 * MIB), { until: MIB });
      await at.restart();
      const request = { target, format: 'raw', lengthBytes: BigInt(2 * MIB) };
      const found = await at.agent.ask(image.startUpload, request);
      assert.deepEqual([found.uploadId, found.committedBytes], [uploadId, BigInt(MIB)]);
      assert.notEqual((await at.upload(target, 'raw', noise(2 * MIB))).info, undefined);
      sameBytes(await at.content(target), noise(2 * MIB));
    },
  },
  {
    name: 'what was made is there, and is what it was',
    run: async (at) => {
      const path = await at.imageOf('disk.qcow2', 'qcow2', noise(MIB));
      await at.restart();
      sameBytes(await at.guestContent(path, 'qcow2'), noise(MIB));
    },
  },
  {
    name: 'a page token of a folder and a cursor of a watch hold',
    run: async (at) => {
      for (const name of ['a', 'b', 'c']) await at.write(name, noise(1));
      const { nextPageToken: pageToken } = await at.agent.ask(file.listDirectory, { path: at.folder, pageSize: 2 });
      const { cursor } = await at.agent.ask(listOperations, { pageSize: 1 });
      const { id } = await at.agent.operate(file.createDirectory, { path: at.path('d') });
      await at.restart();
      const { entries } = await at.agent.ask(file.listDirectory, { path: at.folder, pageToken });
      assert.deepEqual(
        entries.map(({ name }) => name),
        ['c', 'd'],
      );
      await until(at.agent.open(watchOperations, { cursor }), ({ event }) => event?.operationId === id);
    },
  },
  {
    name: 'a file that was being replaced has the old content',
    run: async (at) => {
      const path = await at.write('file', noise(MIB));
      const value = noise(MIB / 4, 2);
      const messages = [
        { content: { $case: 'header' as const, value: { path } } },
        { content: { $case: 'data' as const, value } },
      ];
      const stalled = at.agent.send(file.writeFile, messages, { end: false });
      stalled.catch(() => undefined); // avoids unhandledRejection; awaited below
      await at.restart();
      await assert.rejects(stalled);
      sameBytes(await at.content(path), noise(MIB));
      assert.deepEqual(await at.names(), ['file']);
    },
  },
];

export const crashCases = about(
  'crashes',
  behaviours.map((each) => ({ ...each, name: `after a crash: ${each.name}`, needs: [restartable], alone: true })),
);
