/** Plans: what a call would do, without doing it. */
import assert from 'node:assert/strict';
import type { DirectoryEntry } from '../../src/gen/hostler/v1/file_service.js';
import { WipeMode } from '../../src/gen/hostler/v1/image_service.js';
import type { Done } from '../agent/agent.js';
import * as file from '../agent/file-rpcs.js';
import * as image from '../agent/image-rpcs.js';
import { listOperations } from '../agent/operation-rpcs.js';
import type { Bench } from '../bench/bench.js';
import { MIB, noise } from '../content/noise.js';
import { refused } from '../expect.js';
import { about, type Behaviour } from '../runner/case.js';
import { trusted } from '../runner/needs.js';

/** What is in the folder of the case, as far as a change would show. */
async function picture(at: Bench): Promise<DirectoryEntry[]> {
  return (await at.agent.ask(file.listDirectory, { path: at.folder })).entries;
}

type Plan = (at: Bench, source: string) => Promise<Done>;

const planOnly = true;
const target = (at: Bench) => at.path('target');
const fromRaw = (at: Bench, source: string) => ({ source, sourceFormat: 'raw', target: target(at) });
const size = { $case: 'size' as const, value: '2M' };

/** By the RPC's name; the source is a raw image of 1 MiB. */
const PLANS: Readonly<Record<string, Plan>> = {
  CreateImage: (at) =>
    at.agent.operate(image.createImage, { path: target(at), format: 'qcow2', virtualSize: size, planOnly }),
  CreateOverlay: (at, source) =>
    at.agent.operate(image.createOverlay, { path: target(at), backingFile: source, backingFormat: 'raw', planOnly }),
  ConvertImage: (at, source) =>
    at.agent.operate(image.convertImage, { ...fromRaw(at, source), targetFormat: 'qcow2', planOnly }),
  ExtractSnapshot: (at, path) =>
    at.agent.operate(image.extractSnapshot, {
      ...{ path, sourceFormat: 'raw', target: target(at), targetFormat: 'qcow2', planOnly },
    }),
  CopyImage: (at, source) => at.agent.operate(image.copyImage, { source, target: target(at), planOnly }),
  FetchImage: (at, path) =>
    at.agent.operate(image.fetchImage, {
      ...{ target: target(at), targetFormat: 'qcow2', planOnly },
      source: { source: { $case: 'file', value: { path } } },
    }),
  ResizeImage: (at, path) => at.agent.operate(image.resizeImage, { path, format: 'raw', virtualSize: size, planOnly }),
  WipeImage: (at, path) => at.agent.operate(image.wipeImage, { path, mode: WipeMode.WIPE_MODE_ZERO, planOnly }),
  DeleteImage: (at, path) => at.agent.operate(image.deleteImage, { path, planOnly }),
  DigestImage: (at, path) => at.agent.operate(image.digestImage, { path, planOnly }),
  CreateDirectory: (at) => at.agent.operate(file.createDirectory, { path: target(at), planOnly }),
  RemoveDirectory: (at) => at.agent.operate(file.removeDirectory, { path: at.folder, recursive: true, planOnly }),
  MoveFile: (at, source) => at.agent.operate(file.moveFile, { source, target: target(at), planOnly }),
};

const changeNothing: readonly Behaviour[] = Object.entries(PLANS).map(([rpc, plan]) => ({
  name: `a plan of ${rpc} says how it would be done and why, and changes nothing`,
  needs: [trusted],
  run: async (at) => {
    const source = await at.write('source.raw', noise(MIB));
    const before = await picture(at);
    const { result } = await plan(at, source);
    assert.equal(result.result?.$case, 'plan', 'the result is a plan');
    assert.notEqual(result.result.value.method, '');
    assert.notEqual(result.result.value.why, '');
    assert.deepEqual(await picture(at), before);
  },
}));

export const planCases = about('plans', [
  ...changeNothing,
  {
    name: 'a plan is in no list of operations',
    run: async (at) => {
      const labels = { plan: at.folder };
      const request = { path: target(at), format: 'raw', virtualSize: size, planOnly, labels };
      await at.agent.operate(image.createImage, request);
      assert.deepEqual((await at.agent.ask(listOperations, { filter: { labels } })).operations, []);
    },
  },
  {
    name: 'a plan says how much would be moved, what space it needs, and what is free',
    run: async (at) => {
      const source = await at.write('source.raw', noise(MIB));
      const { result } = await at.agent.operate(image.convertImage, {
        ...fromRaw(at, source),
        ...{ targetFormat: 'raw', planOnly },
      });
      assert.equal(result.result?.$case, 'plan');
      const { needBytes, freeBytes } = result.result.value;
      assert.ok(needBytes >= BigInt(MIB), `it needs ${String(needBytes)} bytes`);
      assert.ok((freeBytes ?? 0n) > 0n);
    },
  },
  {
    name: 'a plan fails as the call itself would',
    run: async (at) => {
      const path = await at.write('disk.raw', noise(MIB));
      const create = { path, format: 'raw', virtualSize: size, planOnly };
      await refused(at.agent.operate(image.createImage, create), 'TARGET_EXISTS');
      await refused(at.agent.operate(image.deleteImage, { path: at.path('nothing'), planOnly }), 'IMAGE_NOT_FOUND');
    },
  },
]);
