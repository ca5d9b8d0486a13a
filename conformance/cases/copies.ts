/** Copying the bytes of images on one host. */
import assert from 'node:assert/strict';
import type { CopyResult } from '../../src/gen/hostler/v1/image.js';
import { CopyEngine } from '../../src/gen/hostler/v1/image_service.js';
import type { Done } from '../agent/agent.js';
import { createDirectory } from '../agent/file-rpcs.js';
import * as image from '../agent/image-rpcs.js';
import { MIB, noise } from '../content/noise.js';
import { invalid, refused, sameBytes } from '../expect.js';
import { about } from '../runner/case.js';
import { noReflink, reflink, sparse } from '../runner/needs.js';

function copyOf({ result: { result } }: Done): CopyResult {
  assert.equal(result?.$case, 'copy');
  return result.value;
}

export const copyCases = about('copies', [
  {
    name: 'a copy has the same bytes, and the result has its length and its engine with the reason',
    run: async (at) => {
      const source = await at.write('disk.raw', noise(3 * MIB));
      const target = at.path('copy.raw');
      const copy = copyOf(await at.agent.operate(image.copyImage, { source, target }));
      assert.deepEqual([copy.target, copy.lengthBytes], [target, 3n << 20n]);
      assert.match(copy.engine, /^(REFLINK|LOCAL_SPARSE)$/);
      assert.notEqual(copy.why, '');
      sameBytes(await at.content(target), noise(3 * MIB));
    },
  },
  {
    name: 'a copy of a length that is no multiple of 512 has exactly that length',
    run: async (at) => {
      const source = await at.write('disk.raw', noise(MIB + 77));
      for (const engine of [CopyEngine.COPY_ENGINE_AUTO, CopyEngine.COPY_ENGINE_LOCAL_SPARSE]) {
        const target = at.path(`copy-${String(engine)}.raw`);
        await at.agent.operate(image.copyImage, { source, target, engine });
        sameBytes(await at.content(target), noise(MIB + 77));
      }
    },
  },
  {
    name: 'holes stay holes',
    needs: [sparse],
    run: async (at) => {
      const source = await at.writeSparse('disk.raw', 64 * MIB, [[8 * MIB, noise(MIB)]]);
      const target = at.path('copy.raw');
      const engine = CopyEngine.COPY_ENGINE_LOCAL_SPARSE;
      const { allocatedBytes, skippedBytes } = copyOf(
        await at.agent.operate(image.copyImage, { source, target, engine }),
      );
      assert.ok(allocatedBytes < 8n << 20n, `the copy takes ${String(allocatedBytes)} bytes`);
      assert.ok(skippedBytes > 48n << 20n, `${String(skippedBytes)} bytes were skipped`);
    },
  },
  {
    name: 'a verified copy says so',
    run: async (at) => {
      const source = await at.write('disk.raw', noise(MIB));
      const request = { source, target: at.path('copy.raw'), verify: true };
      assert.equal(copyOf(await at.agent.operate(image.copyImage, request)).verified, true);
    },
  },
  {
    name: 'a copy by reflink shares blocks',
    needs: [reflink],
    run: async (at) => {
      const source = await at.write('disk.raw', noise(MIB));
      const request = { source, target: at.path('copy.raw'), engine: CopyEngine.COPY_ENGINE_REFLINK };
      assert.equal(copyOf(await at.agent.operate(image.copyImage, request)).engine, 'REFLINK');
      sameBytes(await at.content(request.target), noise(MIB));
    },
  },
  {
    name: 'a copy by reflink where there is none is UNSUPPORTED_BY_BACKEND, and leaves nothing',
    needs: [noReflink],
    run: async (at) => {
      const source = await at.write('disk.raw', noise(MIB));
      const request = { source, target: at.path('copy.raw'), engine: CopyEngine.COPY_ENGINE_REFLINK };
      await refused(at.agent.operate(image.copyImage, request), 'UNSUPPORTED_BY_BACKEND');
      assert.deepEqual(await at.names(), ['disk.raw']);
    },
  },
  {
    name: 'a copy onto its own source is SAME_FILE',
    run: async (at) => {
      const source = await at.write('disk.raw', noise(MIB));
      const request = { source, target: source, overwrite: true };
      await refused(at.agent.operate(image.copyImage, request), 'SAME_FILE');
      sameBytes(await at.content(source), noise(MIB));
    },
  },
  {
    name: 'a copy onto an existing target is TARGET_EXISTS, and with overwrite replaces it',
    run: async (at) => {
      const source = await at.write('disk.raw', noise(MIB));
      const target = await at.write('other.raw', noise(MIB, 2));
      await refused(at.agent.operate(image.copyImage, { source, target }), 'TARGET_EXISTS');
      sameBytes(await at.content(target), noise(MIB, 2));
      await at.agent.operate(image.copyImage, { source, target, overwrite: true });
      sameBytes(await at.content(target), noise(MIB));
    },
  },
  {
    name: 'a folder cannot be the target of a copy',
    run: async (at) => {
      const source = await at.write('disk.raw', noise(MIB));
      const target = at.path('folder');
      await at.agent.operate(createDirectory, { path: target });
      await refused(at.agent.operate(image.copyImage, { source, target, overwrite: true }), 'NOT_A_FILE');
    },
  },
  {
    name: 'a host that begins with a dash is INVALID_FIELD',
    run: async (at) => {
      const source = await at.write('disk.raw', noise(MIB));
      await invalid(
        at.agent.operate(image.copyImage, {
          source,
          target: at.path('copy.raw'),
          remote: { host: '-oProxyCommand=x' },
        }),
        'remote.host',
      );
    },
  },
  {
    name: 'a fetch from a file of the host is judged, converted and published',
    run: async (at) => {
      const path = await at.imageOf('source.qcow2', 'qcow2', noise(MIB));
      const request = {
        source: { source: { $case: 'file' as const, value: { path } } },
        target: at.path('fetched.raw'),
        targetFormat: 'raw',
      };
      const { result } = await at.agent.operate(image.fetchImage, request);
      assert.equal(result.result?.$case, 'fetch');
      sameBytes(await at.content(request.target), noise(MIB));
    },
  },
  {
    name: 'a fetched raw file has the bytes as they were, and a wrong checksum is CHECKSUM_MISMATCH',
    run: async (at) => {
      const path = await at.write('kernel', noise(100_001));
      const source = { source: { $case: 'file' as const, value: { path } } };
      await at.agent.operate(image.fetchRawImage, { source, target: at.path('copy') });
      sameBytes(await at.content(at.path('copy')), noise(100_001));
      const wrong = { source, target: at.path('wrong'), checksum: { algorithm: 'sha256', digest: '0'.repeat(64) } };
      await refused(at.agent.operate(image.fetchRawImage, wrong), 'CHECKSUM_MISMATCH');
      assert.deepEqual(await at.names(), ['copy', 'kernel']);
    },
  },
]);
