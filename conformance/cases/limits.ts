/** Wrong and excessive requests: refused before they cost anything. */
import assert from 'node:assert/strict';
import { status } from '@grpc/grpc-js';
import { refusalFrom } from '../agent/agent.js';
import * as file from '../agent/file-rpcs.js';
import * as image from '../agent/image-rpcs.js';
import { listOperations } from '../agent/operation-rpcs.js';
import type { Rpc } from '../agent/rpc.js';
import { written, type Bench } from '../bench/bench.js';
import { KIB, MIB } from '../content/noise.js';
import { invalid, refused } from '../expect.js';
import { about } from '../runner/case.js';

/** StatFile, whose request is given as bytes. */
const bytesOf: Rpc<Buffer, Buffer, unknown> = {
  ...file.statFile,
  serialize: (bytes) => bytes,
  request: (bytes) => bytes,
};

const labels = (count: number, length = 1) =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [`label-${String(n)}`, 'x'.repeat(length)]));

async function answers(at: Bench): Promise<void> {
  assert.equal(await at.exists(at.folder), true);
}

export const limitCases = about('limits', [
  {
    name: 'a path of more than 4096 bytes is INVALID_FIELD and named, wherever it is',
    run: async (at) => {
      const path = `${at.folder}/${'x'.repeat(5000)}`;
      await invalid(at.agent.ask(file.statFile, { path }), 'path');
      await invalid(at.agent.ask(image.getImageInfo, { path }), 'path');
      await invalid(at.agent.operate(image.deleteImage, { path }), 'path');
      const copy = { source: at.path('a'), target: path };
      await invalid(at.agent.operate(image.copyImage, copy), 'target');
      await refused(at.agent.send(file.writeFile, written({ path }, Buffer.alloc(1))), 'INVALID_FIELD');
    },
  },
  {
    name: 'a name of more than 255 bytes is refused, and nothing is made',
    run: async (at) => {
      const path = at.path('x'.repeat(256));
      await refusalFrom(at.agent.send(file.writeFile, written({ path }, Buffer.alloc(1))));
      assert.deepEqual(await at.names(), []);
    },
  },
  {
    name: 'a path with NUL is INVALID_FIELD',
    run: async (at) => {
      await invalid(at.agent.ask(file.statFile, { path: `${at.folder}/a\0b` }), 'path');
    },
  },
  {
    name: 'more than 64 labels, or a long one, are INVALID_FIELD',
    run: async (at) => {
      const make = (more: Record<string, string>) =>
        at.agent.operate(file.createDirectory, { path: at.path('folder'), labels: more });
      await refused(make(labels(65)), 'INVALID_FIELD');
      await refused(make(labels(1, 257)), 'INVALID_FIELD');
      await refused(make(labels(40, 250)), 'INVALID_FIELD');
      assert.deepEqual(await at.names(), []);
      await make(labels(60));
    },
  },
  {
    name: 'a message that is longer than its RPC takes is refused, and the agent answers on',
    run: async (at) => {
      const long = at.agent.ask(bytesOf, Buffer.alloc(2 * MIB, 'x'));
      const { code } = await refusalFrom(long);
      assert.match(status[code] ?? '', /^(INVALID_ARGUMENT|RESOURCE_EXHAUSTED)$/);
      await answers(at);
    },
  },
  {
    name: 'bytes that are no message are refused, and the agent answers on',
    run: async (at) => {
      for (const bytes of [Buffer.from([0xff]), Buffer.from([0x0a, 0x7f, 0x41]), Buffer.alloc(100, 0xff)]) {
        const { code } = await refusalFrom(at.agent.ask(bytesOf, bytes));
        assert.match(status[code] ?? '', /^(INVALID_ARGUMENT|INTERNAL)$/);
      }
      await answers(at);
    },
  },
  {
    name: 'a field that the agent does not know is no error: clients may be newer',
    run: async (at) => {
      const path = Buffer.from(at.folder);
      const known = Buffer.concat([Buffer.from([0x0a, path.length]), path]);
      // Field 1000, a number.
      await at.agent.ask(bytesOf, Buffer.concat([known, Buffer.from([0xc0, 0x3e, 0x01])]));
    },
  },
  {
    name: 'an enumerator that the agent does not know is INVALID_FIELD',
    run: async (at) => {
      const path = await at.write('disk.raw', Buffer.alloc(512));
      await invalid(at.agent.operate(image.wipeImage, { path, mode: 99 }), 'mode');
    },
  },
  {
    name: 'every wrong field of a request is named at once',
    run: async (at) => {
      const wrong = { path: 'relative', format: 'floppy', virtualSize: { $case: 'size' as const, value: 'big' } };
      const { fields } = await refused(at.agent.operate(image.createImage, wrong), 'INVALID_FIELD');
      assert.deepEqual([...fields].sort(), ['format', 'path', 'size']);
    },
  },
  {
    name: 'a size beyond what a file can have is refused, and nothing is made',
    run: async (at) => {
      const virtualSize = { $case: 'size' as const, value: String(2n ** 64n - 1n) };
      for (const format of ['raw', 'qcow2'])
        await refusalFrom(at.agent.operate(image.createImage, { path: at.path('disk'), format, virtualSize }));
      assert.deepEqual(await at.names(), []);
    },
  },
  {
    name: 'a message of data of more than 1 MiB is refused',
    run: async (at) => {
      const data = { content: { $case: 'data' as const, value: Buffer.alloc(MIB + KIB) } };
      const [header] = written({ path: at.path('file') }, Buffer.alloc(0));
      const { code } = await refusalFrom(at.agent.send(file.writeFile, header === undefined ? [] : [header, data]));
      assert.match(status[code] ?? '', /^(INVALID_ARGUMENT|RESOURCE_EXHAUSTED)$/);
      assert.deepEqual(await at.names(), []);
    },
  },
  {
    name: 'a filter by a reason that there is not selects nothing: clients may be newer',
    run: async (at) => {
      const reasons = ['NO_SUCH_REASON'];
      assert.deepEqual((await at.agent.ask(listOperations, { filter: { reasons } })).operations, []);
    },
  },
  {
    name: 'many calls at the same time are all answered',
    run: async (at) => {
      const calls = Array.from({ length: 100 }, () => at.agent.ask(file.statFile, { path: at.folder }));
      assert.ok((await Promise.all(calls)).every(({ exists }) => exists));
    },
  },
]);
