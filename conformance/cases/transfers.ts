/** Uploads and downloads. */
import assert from 'node:assert/strict';
import { createDirectory, removeDirectory } from '../agent/file-rpcs.js';
import * as image from '../agent/image-rpcs.js';
import { cancelOperation, getOperation } from '../agent/operation-rpcs.js';
import type { Bench } from '../bench/bench.js';
import { blockDigest, KIB, MIB, noise, sha256 } from '../content/noise.js';
import { invalid, refused, sameBytes } from '../expect.js';
import { about } from '../runner/case.js';
import { sparse } from '../runner/needs.js';

const start = (at: Bench, target: string, lengthBytes: number) =>
  at.agent.ask(image.startUpload, { target, format: 'raw', lengthBytes: BigInt(lengthBytes) });

const header = (uploadId: string, offset: number) => ({
  content: { $case: 'header' as const, value: { uploadId, offset: BigInt(offset) } },
});
const data = (value: Buffer) => ({ content: { $case: 'data' as const, value } });
const zeros = (count: number) => ({ content: { $case: 'zeroBytes' as const, value: BigInt(count) } });

const uploads = about('uploads', [
  {
    name: 'an upload publishes the bytes when all of them have arrived',
    run: async (at) => {
      const target = at.path('disk.raw');
      const { info, committedBytes } = await at.upload(target, 'raw', noise(3 * MIB));
      assert.deepEqual([info?.path, committedBytes], [target, BigInt(3 * MIB)]);
      sameBytes(await at.content(target), noise(3 * MIB));
    },
  },
  {
    name: 'before that nothing has the name of the target, and no other call may take it',
    run: async (at) => {
      const target = at.path('disk.raw');
      const { info } = await at.upload(target, 'raw', noise(MIB), { until: 512 * KIB });
      assert.equal(info, undefined);
      assert.deepEqual(await at.names(), []);
      const create = { path: target, format: 'raw', virtualSize: { $case: 'size' as const, value: '1M' } };
      await refused(at.agent.operate(image.createImage, create), 'PATH_BUSY');
    },
  },
  {
    name: 'an upload whose stream broke continues after the bytes that have arrived',
    run: async (at) => {
      const target = at.path('disk.raw');
      const first = await at.upload(target, 'raw', noise(MIB), { until: 512 * KIB });
      assert.equal(first.committedBytes, BigInt(512 * KIB));
      const found = await start(at, target, MIB);
      assert.deepEqual([found.uploadId, found.committedBytes], [first.uploadId, BigInt(512 * KIB)]);
      assert.notEqual((await at.upload(target, 'raw', noise(MIB))).info, undefined);
      sameBytes(await at.content(target), noise(MIB));
    },
  },
  {
    name: 'an upload with another checksum is CHECKSUM_MISMATCH, and publishes nothing',
    run: async (at) => {
      const digest = sha256(noise(MIB, 2));
      await refused(at.upload(at.path('disk.raw'), 'raw', noise(MIB), { digest }), 'CHECKSUM_MISMATCH');
      assert.deepEqual(await at.names(), []);
      await at.upload(at.path('disk.raw'), 'raw', noise(MIB));
    },
  },
  {
    name: 'a checksum that was announced is compared too',
    run: async (at) => {
      const checksum = { algorithm: 'sha256', digest: sha256(noise(KIB, 2)) };
      const request = { target: at.path('disk.raw'), format: 'raw', lengthBytes: BigInt(KIB), checksum };
      const { uploadId } = await at.agent.ask(image.startUpload, request);
      const messages = [header(uploadId, 0), data(noise(KIB))];
      await refused(at.agent.send(image.uploadImage, messages), 'CHECKSUM_MISMATCH');
      assert.deepEqual(await at.names(), []);
    },
  },
  {
    name: 'more bytes than were announced, or another offset, are INVALID_FIELD and leave it open',
    run: async (at) => {
      const target = at.path('disk.raw');
      const { uploadId } = await start(at, target, KIB);
      await refused(at.agent.send(image.uploadImage, [header(uploadId, 0), data(noise(2 * KIB))]), 'INVALID_FIELD');
      await refused(at.agent.send(image.uploadImage, [header(uploadId, 512), data(noise(512))]), 'INVALID_FIELD');
      assert.notEqual((await at.upload(target, 'raw', noise(KIB))).info, undefined);
    },
  },
  {
    name: 'an unknown upload is UPLOAD_NOT_FOUND',
    run: async (at) => {
      const messages = [header('01AAAAAAAAAAAAAAAAAAAAAAAA', 0), data(noise(KIB))];
      await refused(at.agent.send(image.uploadImage, messages), 'UPLOAD_NOT_FOUND');
    },
  },
  {
    name: 'an upload onto an existing target is TARGET_EXISTS',
    run: async (at) => {
      const target = await at.write('disk.raw', noise(KIB));
      await refused(start(at, target, KIB), 'TARGET_EXISTS');
    },
  },
  {
    name: 'an upload is an operation of the same id, and a cancel ends it',
    run: async (at) => {
      const { uploadId } = await at.upload(at.path('disk.raw'), 'raw', noise(MIB), { until: 256 * KIB });
      const { operation } = await at.agent.ask(getOperation, { operationId: uploadId });
      assert.deepEqual(operation?.addresses, [at.path('disk.raw')]);
      await at.agent.ask(cancelOperation, { operationId: uploadId });
      const more = at.agent.send(image.uploadImage, [header(uploadId, 256 * KIB), data(noise(KIB))]);
      await refused(more, 'UPLOAD_NOT_FOUND');
      await at.agent.operate(removeDirectory, { path: at.folder });
      await at.agent.operate(createDirectory, { path: at.folder });
    },
  },
  {
    name: 'runs of zeros are uploaded as a number, and become holes',
    needs: [sparse],
    run: async (at) => {
      const target = at.path('disk.raw');
      const { uploadId } = await start(at, target, 32 * MIB);
      const bytes = Buffer.concat([Buffer.alloc(16 * MIB), noise(KIB), Buffer.alloc(16 * MIB - KIB)]);
      const checksum = {
        $case: 'checksum' as const,
        value: { algorithm: 'sha256-4m-blocks', digest: blockDigest(bytes) },
      };
      const runs = [zeros(16 * MIB), data(noise(KIB)), zeros(16 * MIB - KIB)];
      const messages = [header(uploadId, 0), ...runs, { content: checksum }];
      const { info } = await at.agent.send(image.uploadImage, messages);
      assert.ok((info?.allocatedBytes ?? 0n) < BigInt(4 * MIB), `it takes ${String(info?.allocatedBytes)} bytes`);
      sameBytes(await at.content(target, { offset: 16 * MIB, length: KIB }), noise(KIB));
    },
  },
  {
    name: 'an upload that has succeeded is found again, with its image',
    run: async (at) => {
      const target = at.path('disk.raw');
      const checksum = { algorithm: 'sha256', digest: sha256(noise(KIB)) };
      const request = { target, format: 'raw', lengthBytes: BigInt(KIB), checksum };
      const { uploadId } = await at.agent.ask(image.startUpload, request);
      await at.agent.send(image.uploadImage, [header(uploadId, 0), data(noise(KIB))]);
      const again = await at.agent.ask(image.startUpload, request);
      assert.deepEqual([again.uploadId, again.info?.path], [uploadId, target]);
    },
  },
  {
    name: 'a last message that is sent once more is answered with the image once more',
    run: async (at) => {
      const target = at.path('disk.raw');
      const { uploadId } = await at.upload(target, 'raw', noise(KIB));
      const checksum = { $case: 'checksum' as const, value: { algorithm: 'sha256', digest: sha256(noise(KIB)) } };
      const { info } = await at.agent.send(image.uploadImage, [header(uploadId, KIB), { content: checksum }]);
      assert.equal(info?.path, target);
    },
  },
  {
    name: 'an upload without a format is INVALID_FIELD',
    run: async (at) => {
      await invalid(at.agent.ask(image.startUpload, { target: at.path('disk'), lengthBytes: 1n }), 'format');
    },
  },
]);

const downloads = about('downloads', [
  {
    name: 'a download has every byte, and ends with their digest',
    run: async (at) => {
      for (const length of [0, 1, 511, MIB, 5 * MIB + 3]) {
        const path = await at.write('disk.raw', noise(length));
        const { bytes, digest } = await at.download(path);
        sameBytes(bytes, noise(length));
        assert.equal(digest, blockDigest(bytes));
      }
    },
  },
  {
    name: 'a download of a range has those bytes, and their digest',
    run: async (at) => {
      const path = await at.write('disk.raw', noise(2 * MIB));
      const { bytes, digest } = await at.download(path, { offset: 100, length: MIB });
      sameBytes(bytes, noise(2 * MIB).subarray(100, 100 + MIB));
      assert.equal(digest, blockDigest(bytes));
    },
  },
  {
    name: 'holes are downloaded as runs of zeros',
    needs: [sparse],
    run: async (at) => {
      const path = await at.writeSparse('disk.raw', 32 * MIB, [[8 * MIB, noise(MIB)]]);
      const { bytes, zeroRuns } = await at.download(path);
      assert.ok(zeroRuns > 0);
      sameBytes(bytes.subarray(8 * MIB, 9 * MIB), noise(MIB));
      assert.equal(bytes.length, 32 * MIB);
    },
  },
  {
    name: 'a download of nothing is FILE_NOT_FOUND, and of a folder NOT_A_FILE',
    run: async (at) => {
      await refused(at.download(at.path('nothing')), 'FILE_NOT_FOUND');
      await refused(at.download(at.folder), 'NOT_A_FILE');
    },
  },
]);

export const transferCases = [...uploads, ...downloads];
