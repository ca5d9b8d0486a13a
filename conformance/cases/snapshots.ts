/** Snapshots inside of images. */
import assert from 'node:assert/strict';
import * as image from '../agent/image-rpcs.js';
import type { Bench } from '../bench/bench.js';
import { MIB, noise } from '../content/noise.js';
import { invalid, refused, sameBytes } from '../expect.js';
import { about } from '../runner/case.js';
import { trusted } from '../runner/needs.js';

const needs = [trusted];
const format = 'qcow2';

/** A qcow2 with content and a snapshot of it. */
async function snapped(at: Bench, snapshot = 'first'): Promise<string> {
  const path = await at.imageOf('disk.qcow2', format, noise(MIB));
  await at.agent.operate(image.createSnapshot, { path, format, snapshot });
  return path;
}

async function namesIn(at: Bench, path: string): Promise<string[]> {
  const { snapshots } = await at.agent.ask(image.listSnapshots, { path, format });
  return snapshots.map(({ name }) => name);
}

export const snapshotCases = about('snapshots', [
  {
    name: 'a snapshot is made, listed and removed',
    needs,
    run: async (at) => {
      const path = await snapped(at);
      assert.deepEqual(await namesIn(at, path), ['first']);
      assert.deepEqual(
        (await at.info(path)).snapshots.map(({ name }) => name),
        ['first'],
      );
      await at.agent.operate(image.deleteSnapshot, { path, format, snapshot: 'first' });
      assert.deepEqual(await namesIn(at, path), []);
      sameBytes(await at.guestContent(path, format), noise(MIB));
    },
  },
  {
    name: 'a snapshot of a name that there is is SNAPSHOT_EXISTS',
    needs,
    run: async (at) => {
      const path = await snapped(at);
      const again = at.agent.operate(image.createSnapshot, { path, format, snapshot: 'first' });
      await refused(again, 'SNAPSHOT_EXISTS');
      assert.deepEqual(await namesIn(at, path), ['first']);
    },
  },
  {
    name: 'removing, reverting to or extracting a snapshot that is not there is SNAPSHOT_NOT_FOUND',
    needs,
    run: async (at) => {
      const path = await snapped(at);
      const one = { path, format, snapshot: 'second' };
      await refused(at.agent.operate(image.deleteSnapshot, one), 'SNAPSHOT_NOT_FOUND');
      await refused(at.agent.operate(image.revertSnapshot, one), 'SNAPSHOT_NOT_FOUND');
      const extract = { path, sourceFormat: format, target: at.path('x'), targetFormat: 'raw', snapshot: 'second' };
      await refused(at.agent.operate(image.extractSnapshot, extract), 'SNAPSHOT_NOT_FOUND');
    },
  },
  {
    name: 'a raw image can have no snapshots: UNSUPPORTED_BY_BACKEND',
    needs,
    run: async (at) => {
      const path = await at.write('disk.raw', noise(MIB));
      const request = { path, format: 'raw', snapshot: 'first' };
      await refused(at.agent.operate(image.createSnapshot, request), 'UNSUPPORTED_BY_BACKEND');
    },
  },
  {
    name: 'a snapshot without a name, or with one of 256 bytes, is INVALID_FIELD',
    needs,
    run: async (at) => {
      const path = await at.create('disk.qcow2', format, MIB);
      for (const snapshot of ['', 'n'.repeat(256)])
        await invalid(at.agent.operate(image.createSnapshot, { path, format, snapshot }), 'snapshot');
    },
  },
  {
    name: 'a name may begin with a dash, have blanks, commas and quotes, or look like an id',
    needs,
    run: async (at) => {
      const names = ['-1', 'a, b', `'"`, '1', 'ä'];
      const path = await at.create('disk.qcow2', format, MIB);
      for (const snapshot of names) await at.agent.operate(image.createSnapshot, { path, format, snapshot });
      assert.deepEqual(await namesIn(at, path), names);
      await at.agent.operate(image.deleteSnapshot, { path, format, snapshot: '1' });
      assert.deepEqual(
        await namesIn(at, path),
        names.filter((name) => name !== '1'),
      );
    },
  },
  {
    name: 'after a revert the size and the content are those of the snapshot again',
    needs,
    run: async (at) => {
      const path = await snapped(at);
      const grown = { path, format, virtualSize: { $case: 'size' as const, value: String(2 * MIB) } };
      await at.agent.operate(image.resizeImage, grown);
      assert.equal((await at.info(path)).virtualSizeBytes, BigInt(2 * MIB));
      await at.agent.operate(image.revertSnapshot, { path, format, snapshot: 'first' });
      assert.equal((await at.info(path)).virtualSizeBytes, BigInt(MIB));
      sameBytes(await at.guestContent(path, format), noise(MIB));
    },
  },
  {
    name: 'a snapshot is extracted as an image of its own',
    needs,
    run: async (at) => {
      const path = await snapped(at);
      const request = { path, sourceFormat: format, target: at.path('old.raw'), targetFormat: 'raw' };
      await at.agent.operate(image.extractSnapshot, { ...request, snapshot: 'first' });
      sameBytes(await at.content(request.target), noise(MIB));
    },
  },
  {
    name: 'an image with snapshots is neither rebased nor committed: IMAGE_HAS_SNAPSHOTS',
    needs,
    run: async (at) => {
      const base = await at.write('base.raw', noise(MIB));
      const path = await at.overlay('top.qcow2', base, 'raw');
      await at.agent.operate(image.createSnapshot, { path, format, snapshot: 'first' });
      await refused(at.agent.operate(image.rebaseImage, { path, format }), 'IMAGE_HAS_SNAPSHOTS');
      await refused(at.agent.operate(image.commitImage, { path, format }), 'IMAGE_HAS_SNAPSHOTS');
      sameBytes(await at.content(base), noise(MIB));
    },
  },
]);
