/** Calling again with the same request_id. */
import assert from 'node:assert/strict';
import type { Done } from '../agent/agent.js';
import * as file from '../agent/file-rpcs.js';
import * as image from '../agent/image-rpcs.js';
import { cancelOperation, getOperation, listOperations } from '../agent/operation-rpcs.js';
import { written, type Bench } from '../bench/bench.js';
import { slowWork } from '../bench/work.js';
import { KIB, MIB, noise } from '../content/noise.js';
import { refused, sameBytes } from '../expect.js';
import { about } from '../runner/case.js';

/** Of this case alone. */
const idOf = (at: Bench) => at.folder.slice(-100);

const make = (at: Bench, more: { size?: string; labels?: Record<string, string>; planOnly?: boolean } = {}) => {
  const { size = '1M', ...rest } = more;
  const request = { path: at.path('disk.raw'), format: 'raw', requestId: idOf(at), ...rest };
  return at.agent.operate(image.createImage, { ...request, virtualSize: { $case: 'size', value: size } });
};

const madeBy = async (at: Bench) => {
  const { operations } = await at.agent.ask(listOperations, { filter: { requestId: idOf(at) } });
  return operations.map(({ operationId }) => operationId);
};

const replayed = ({ result }: Done) => result.replayed;

export const retryCases = about('retries', [
  {
    name: 'a repeated request gets the result of the first run, and does not run again',
    run: async (at) => {
      const first = await make(at);
      await at.agent.send(file.writeFile, written({ path: at.path('disk.raw'), offset: 0n }, noise(KIB)));
      const again = await make(at);
      assert.deepEqual([replayed(first), replayed(again), again.id], [false, true, first.id]);
      sameBytes(await at.content(at.path('disk.raw'), { length: KIB }), noise(KIB));
      assert.deepEqual(await madeBy(at), [first.id]);
    },
  },
  {
    name: 'it gets that result also when the image is gone, and makes it not anew',
    run: async (at) => {
      await make(at);
      await at.agent.operate(image.deleteImage, { path: at.path('disk.raw') });
      assert.equal(replayed(await make(at)), true);
      assert.deepEqual(await at.names(), []);
    },
  },
  {
    name: 'the same id with other arguments is REQUEST_ID_REUSED',
    run: async (at) => {
      await make(at);
      await refused(make(at, { size: '2M' }), 'REQUEST_ID_REUSED');
      assert.equal((await at.info(at.path('disk.raw'), 'raw')).virtualSizeBytes, BigInt(MIB));
    },
  },
  {
    name: 'other labels are no other arguments',
    run: async (at) => {
      await make(at, { labels: { one: '1' } });
      assert.equal(replayed(await make(at, { labels: { two: '2' } })), true);
    },
  },
  {
    name: 'the same id means something else to another RPC',
    run: async (at) => {
      await make(at);
      const { result } = await at.agent.operate(file.createDirectory, { path: at.path('folder'), requestId: idOf(at) });
      assert.equal(result.replayed, false);
    },
  },
  {
    name: 'a request that failed runs again, as the next attempt',
    run: async (at) => {
      const { id, failed } = await slowWork(at, { requestId: idOf(at) });
      await at.agent.ask(cancelOperation, { operationId: id });
      await failed;
      const again = await slowWork(at, { requestId: idOf(at) });
      assert.notEqual(again.id, id);
      const { operation } = await at.agent.ask(getOperation, { operationId: again.id });
      assert.equal(operation?.attempt, 2);
    },
  },
  {
    name: 'a request that is repeated while it runs follows the same operation',
    run: async (at) => {
      const first = await slowWork(at, { requestId: idOf(at) });
      const second = await slowWork(at, { requestId: idOf(at) });
      assert.equal(second.id, first.id);
      first.leave();
      const { operation } = await at.agent.ask(getOperation, { operationId: first.id });
      assert.equal(operation?.endTime, undefined, 'it runs on for the caller that is left');
    },
  },
  {
    name: 'a plan neither looks for an id nor uses it up',
    run: async (at) => {
      await make(at, { planOnly: true, size: '2M' });
      assert.equal(replayed(await make(at)), false);
      await refused(make(at, { planOnly: true, size: '2M' }), 'TARGET_EXISTS');
    },
  },
  {
    name: 'a repeated WriteFile writes nothing, and with other data is REQUEST_ID_REUSED',
    run: async (at) => {
      const header = { path: at.path('file'), append: true, requestId: idOf(at) };
      await at.write('file', Buffer.from('one '));
      await at.agent.send(file.writeFile, written(header, Buffer.from('two')));
      const { writtenBytes } = await at.agent.send(file.writeFile, written(header, Buffer.from('two')));
      assert.equal(writtenBytes, 3n);
      await refused(at.agent.send(file.writeFile, written(header, Buffer.from('six'))), 'REQUEST_ID_REUSED');
      assert.equal((await at.content(header.path)).toString(), 'one two');
    },
  },
  {
    name: 'a repeated DeleteFile answers that the file existed, and removes no later one',
    run: async (at) => {
      const path = await at.write('file', Buffer.from('x'));
      const request = { path, requestId: idOf(at) };
      assert.equal((await at.agent.ask(file.deleteFile, request)).existed, true);
      await at.write('file', Buffer.from('y'));
      assert.equal((await at.agent.ask(file.deleteFile, request)).existed, true);
      assert.equal(await at.exists(path), true);
    },
  },
  {
    name: 'two calls at the same time with the same id make one operation',
    run: async (at) => {
      const [one, two] = await Promise.all([make(at), make(at)]);
      assert.equal(one.id, two.id);
      assert.deepEqual(await madeBy(at), [one.id]);
    },
  },
  {
    name: 'a request id of more than 128 characters is INVALID_FIELD',
    run: async (at) => {
      const request = { path: at.path('folder'), requestId: 'x'.repeat(129) };
      await refused(at.agent.operate(file.createDirectory, request), 'INVALID_FIELD');
    },
  },
]);
