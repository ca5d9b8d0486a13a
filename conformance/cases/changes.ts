/** Changing, checking, comparing and removing images. */
import assert from 'node:assert/strict';
import { WipeMode } from '../../src/gen/hostler/v1/image_service.js';
import type { Bench } from '../bench/bench.js';
import { written } from '../bench/bench.js';
import { writeFile } from '../agent/file-rpcs.js';
import * as image from '../agent/image-rpcs.js';
import { blockDigest, KIB, MIB, noise } from '../content/noise.js';
import { invalid, refused, sameBytes } from '../expect.js';
import { about } from '../runner/case.js';
import { trusted } from '../runner/needs.js';

const resize = (at: Bench, path: string, format: string, sizeBytes: number, allowShrink = false) =>
  at.agent.operate(image.resizeImage, {
    ...{ path, format, allowShrink },
    virtualSize: { $case: 'size', value: String(sizeBytes) },
  });

async function digestOf(at: Bench, path: string): Promise<string> {
  const { result } = await at.agent.operate(image.digestImage, { path });
  assert.equal(result.result?.$case, 'digest');
  assert.equal(result.result.value.algorithm, 'sha256-4m-blocks');
  return result.result.value.digest;
}

async function comparison(at: Bench, first: string, firstFormat: string, second: string, secondFormat: string) {
  const request = { first, firstFormat, second, secondFormat };
  const { result } = await at.agent.operate(image.compareImages, request);
  assert.equal(result.result?.$case, 'compare');
  return result.result.value;
}

const changes = about('changes', [
  {
    name: 'an image grows, and its new part reads as zeros',
    needs: [trusted],
    run: async (at) => {
      const path = await at.imageOf('disk.qcow2', 'qcow2', noise(MIB));
      await resize(at, path, 'qcow2', 2 * MIB);
      sameBytes(await at.guestContent(path, 'qcow2'), Buffer.concat([noise(MIB), Buffer.alloc(MIB)]));
    },
  },
  {
    name: 'an image shrinks only with allow_shrink: else WOULD_SHRINK',
    needs: [trusted],
    run: async (at) => {
      const path = await at.write('disk.raw', noise(2 * MIB));
      await refused(resize(at, path, 'raw', MIB), 'WOULD_SHRINK');
      sameBytes(await at.content(path), noise(2 * MIB));
      await resize(at, path, 'raw', MIB, true);
      sameBytes(await at.content(path), noise(2 * MIB).subarray(0, MIB));
    },
  },
  {
    name: 'a resize to the size that the image has changes nothing, and says so',
    needs: [trusted],
    run: async (at) => {
      const path = await at.create('disk.qcow2', 'qcow2', MIB);
      const { result } = await resize(at, path, 'qcow2', MIB);
      assert.equal(result.result?.$case, 'image');
      assert.equal(result.result.value.changed, false);
    },
  },
  {
    name: 'a wiped image reads as zeros and keeps its length',
    needs: [trusted],
    run: async (at) => {
      const path = await at.write('disk.raw', noise(MIB));
      await at.agent.operate(image.wipeImage, { path, mode: WipeMode.WIPE_MODE_ZERO });
      sameBytes(await at.content(path), Buffer.alloc(MIB));
    },
  },
  {
    name: 'a wipe without a mode is INVALID_FIELD',
    run: async (at) => {
      const path = await at.write('disk.raw', noise(KIB));
      await invalid(at.agent.operate(image.wipeImage, { path }), 'mode');
      sameBytes(await at.content(path), noise(KIB));
    },
  },
  {
    name: 'an image is deleted once; then it is IMAGE_NOT_FOUND, or with missing_ok a success',
    run: async (at) => {
      const path = await at.write('disk.raw', noise(MIB));
      const deleted = async (missingOk: boolean) => {
        const { result } = await at.agent.operate(image.deleteImage, { path, missingOk });
        assert.equal(result.result?.$case, 'deletion');
        return result.result.value;
      };
      assert.deepEqual([(await deleted(false)).existed, await at.exists(path)], [true, false]);
      await refused(deleted(false), 'IMAGE_NOT_FOUND');
      assert.equal((await deleted(true)).existed, false);
    },
  },
]);

const looks = about('checks', [
  {
    name: 'a sound image is clean',
    needs: [trusted],
    run: async (at) => {
      const path = await at.imageOf('disk.qcow2', 'qcow2', noise(MIB));
      const { result } = await at.agent.operate(image.checkImage, { path, format: 'qcow2' });
      assert.equal(result.result?.$case, 'check');
      const { clean, corruptions, leaks, checkErrors } = result.result.value;
      assert.deepEqual([clean, corruptions, leaks, checkErrors], [true, 0n, 0n, 0n]);
    },
  },
  {
    name: 'an image whose tables are broken is a result with corruptions, not an error',
    needs: [trusted],
    run: async (at) => {
      const path = await at.imageOf('disk.qcow2', 'qcow2', noise(MIB));
      // The reference counts of the first clusters, in the third cluster.
      const broken = written({ path, offset: BigInt(128 * KIB) }, Buffer.alloc(64));
      await at.agent.send(writeFile, broken);
      const { result } = await at.agent.operate(image.checkImage, { path, format: 'qcow2' });
      assert.equal(result.result?.$case, 'check');
      assert.equal(result.result.value.clean, false);
      assert.ok(result.result.value.corruptions > 0n);
    },
  },
  {
    name: 'a raw image has no tables to check: UNSUPPORTED_BY_BACKEND',
    needs: [trusted],
    run: async (at) => {
      const path = await at.write('disk.raw', noise(MIB));
      await refused(at.agent.operate(image.checkImage, { path, format: 'raw' }), 'UNSUPPORTED_BY_BACKEND');
    },
  },
  {
    name: 'a digest is the sha256 over the sha256 of each block of 4 MiB',
    run: async (at) => {
      const bytes = noise(9 * MIB + 100);
      assert.equal(await digestOf(at, await at.write('disk.raw', bytes)), blockDigest(bytes));
    },
  },
  {
    name: 'holes and zeros have the same digest, and a changed byte another one',
    run: async (at) => {
      const zeros = Buffer.alloc(5 * MIB);
      const path = await at.write('zeros.raw', zeros);
      assert.equal(await digestOf(at, await at.create('hole.raw', 'raw', 5 * MIB)), blockDigest(zeros));
      assert.equal(await digestOf(at, path), blockDigest(zeros));
      await at.agent.send(writeFile, written({ path, offset: 12345n }, Buffer.from('x')));
      zeros.write('x', 12345);
      assert.equal(await digestOf(at, path), blockDigest(zeros));
    },
  },
  {
    name: 'images of different formats with the same content are equal',
    needs: [trusted],
    run: async (at) => {
      const raw = await at.write('disk.raw', noise(MIB));
      const qcow2 = await at.imageOf('disk.qcow2', 'qcow2', noise(MIB));
      assert.equal((await comparison(at, raw, 'raw', qcow2, 'qcow2')).equal, true);
    },
  },
  {
    name: 'images that differ are a result with the place of the first difference',
    needs: [trusted],
    run: async (at) => {
      const bytes = noise(MIB);
      const first = await at.write('one.raw', bytes);
      bytes.writeUInt8(bytes.readUInt8(512 * KIB) ^ 1, 512 * KIB);
      const second = await at.write('two.raw', bytes);
      const { equal, firstDifferenceBytes } = await comparison(at, first, 'raw', second, 'raw');
      assert.deepEqual([equal, firstDifferenceBytes], [false, BigInt(512 * KIB)]);
    },
  },
]);

export const changeCases = [...changes, ...looks];
