/** What a caller may do who may only look (role `viewer`). */
import assert from 'node:assert/strict';
import { connect } from '../agent/connect.js';
import { refusalFrom, type Agent } from '../agent/agent.js';
import * as file from '../agent/file-rpcs.js';
import { getHostInfo } from '../agent/host-rpcs.js';
import * as image from '../agent/image-rpcs.js';
import { cancelOperation, getOperation } from '../agent/operation-rpcs.js';
import { written } from '../bench/bench.js';
import { slowWork } from '../bench/work.js';
import { MIB, noise } from '../content/noise.js';
import { refused, sameBytes } from '../expect.js';
import { about, type Behaviour } from '../runner/case.js';
import { secondCaller, tls } from '../runner/needs.js';

type Attempt = (second: Agent, path: string) => Promise<unknown>;

const needs = [secondCaller];
const format = 'raw';
const size = { $case: 'size' as const, value: '1M' };

/** Calls that change something, or read the content of a file. */
const DENIED: Readonly<Record<string, Attempt>> = {
  CreateImage: (second, path) => second.operate(image.createImage, { path: `${path}.new`, format, virtualSize: size }),
  DeleteImage: (second, path) => second.operate(image.deleteImage, { path }),
  ResizeImage: (second, path) => second.operate(image.resizeImage, { path, format, virtualSize: size }),
  CopyImage: (second, source) => second.operate(image.copyImage, { source, target: `${source}.copy` }),
  StartUpload: (second, path) => second.ask(image.startUpload, { target: `${path}.new`, format, lengthBytes: 1 }),
  WriteFile: (second, path) => second.send(file.writeFile, written({ path }, Buffer.from('x'))),
  DeleteFile: (second, path) => second.ask(file.deleteFile, { path }),
  RemoveDirectory: (second, path) =>
    second.operate(file.removeDirectory, { path: path.replace(/\/[^/]*$/, ''), recursive: true }),
  MoveFile: (second, source) => second.operate(file.moveFile, { source, target: `${source}.moved` }),
  Chown: (second, path) => second.operate(file.chown, { path, owner: '0:0' }),
  ReadFile: (second, path) => second.read(file.readFile, { path }),
  DownloadImage: (second, path) => second.read(image.downloadImage, { path }),
};

const denied: readonly Behaviour[] = Object.entries(DENIED).map(([rpc, attempt]) => ({
  name: `${rpc} is METHOD_NOT_ALLOWED to a caller who may only look, and does nothing`,
  needs,
  run: async (at) => {
    const path = await at.write('disk.raw', noise(64));
    await refused(attempt(at.second, path), 'METHOD_NOT_ALLOWED');
    assert.deepEqual(await at.names(), ['disk.raw']);
    sameBytes(await at.content(path), noise(64));
  },
}));

export const authorisationCases = about('authorisation', [
  ...denied,
  {
    name: 'a caller who may only look sees images and the host',
    needs,
    run: async (at) => {
      const path = await at.create('disk.qcow2', 'qcow2', MIB);
      assert.equal((await at.second.ask(image.getImageInfo, { path })).info?.format, 'qcow2');
      assert.notEqual((await at.second.ask(getHostInfo, {})).agentId, '');
    },
  },
  {
    name: 'a caller who may only look cannot cancel an operation, which goes on',
    needs,
    run: async (at) => {
      const { id: operationId } = await slowWork(at);
      const { reason } = await refusalFrom(at.second.ask(cancelOperation, { operationId }));
      assert.ok(['METHOD_NOT_ALLOWED', 'OPERATION_NOT_FOUND'].includes(reason), reason);
      const { operation } = await at.agent.ask(getOperation, { operationId });
      assert.equal(operation?.endTime, undefined);
    },
  },
  {
    name: 'what is not allowed is refused before the request is looked at',
    needs,
    run: async (at) => {
      await refused(at.second.operate(image.createImage, { path: 'nonsense' }), 'METHOD_NOT_ALLOWED');
      await refused(at.second.operate(image.deleteImage, { path: at.path('nothing') }), 'METHOD_NOT_ALLOWED');
    },
  },
  {
    name: 'over mutual TLS a caller without a certificate is not served',
    needs: [tls],
    run: async (at) => {
      const { address, tls: files } = at.world.access;
      if (files === undefined) throw new Error('there is no TLS');
      const nobody = await connect({ address, tls: { ca: files.ca } }, at.world.run);
      try {
        const { code, reason } = await refusalFrom(nobody.ask(getHostInfo, {}));
        assert.ok(reason === 'NOT_AUTHENTICATED' || (reason === '' && code === 14), `it answers ${reason}`);
      } finally {
        nobody.close();
      }
    },
  },
]);
