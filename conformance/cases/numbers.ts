/** Numbers that are too large for a float, and those at the borders of their types. */
import assert from 'node:assert/strict';
import { refusalFrom } from '../agent/agent.js';
import * as file from '../agent/file-rpcs.js';
import * as image from '../agent/image-rpcs.js';
import { written, type Bench } from '../bench/bench.js';
import { KIB, MIB, noise } from '../content/noise.js';
import { invalid, sameBytes } from '../expect.js';
import { about } from '../runner/case.js';
import { creates } from '../runner/needs.js';

const SECTOR = 512n;
/** The next size that a float cannot hold: it would become 2^53 or 2^53 + 1024. */
const BEYOND_FLOATS = 2n ** 53n + SECTOR;
const LARGEST_SIGNED = 2n ** 63n - 1n;
const LARGEST = 2n ** 64n - 1n;

/** With clusters of 2 MiB the tables of such a disk take a few MiB. */
const huge = (path: string) => ({ path, format: 'qcow2', clusterSizeBytes: BigInt(2 * MIB) });
const bytes = (value: bigint) => ({ virtualSize: { $case: 'virtualSizeBytes' as const, value } });
const text = (value: string) => ({ virtualSize: { $case: 'size' as const, value } });

const mappedBytes = async (at: Bench, path: string) =>
  (await at.agent.read(image.mapImage, { path, format: 'qcow2' }))
    .flatMap(({ extents }) => extents)
    .reduce((sum, { lengthBytes }) => sum + lengthBytes, 0n);

export const numberCases = about('numbers', [
  {
    name: 'a size above 2^53 is exact: in the result, in GetImageInfo, in a batch and a map, and after a resize',
    needs: [creates('qcow2')],
    run: async (at) => {
      const path = at.path('disk.qcow2');
      const { result } = await at.agent.operate(image.createImage, { ...huge(path), ...bytes(BEYOND_FLOATS) });
      assert.equal(result.result?.$case, 'image');
      assert.equal(result.result.value.info?.virtualSizeBytes, BEYOND_FLOATS);
      assert.equal((await at.info(path, 'qcow2')).virtualSizeBytes, BEYOND_FLOATS);
      const batch = await at.agent.read(image.batchGetImageInfo, { paths: [path] });
      assert.deepEqual(
        batch
          .flatMap(({ results }) => results)
          .map(({ outcome }) => outcome?.$case === 'info' && outcome.value.virtualSizeBytes),
        [BEYOND_FLOATS],
      );
      assert.equal(await mappedBytes(at, path), BEYOND_FLOATS);
      await at.agent.operate(image.resizeImage, { path, format: 'qcow2', ...bytes(BEYOND_FLOATS + SECTOR) });
      assert.equal((await at.info(path, 'qcow2')).virtualSizeBytes, BEYOND_FLOATS + SECTOR);
    },
  },
  {
    name: 'a size above 2^53 as a text is as exact',
    needs: [creates('qcow2')],
    run: async (at) => {
      const path = at.path('disk.qcow2');
      await at.agent.operate(image.createImage, { ...huge(path), ...text(String(BEYOND_FLOATS)) });
      assert.equal((await at.info(path, 'qcow2')).virtualSizeBytes, BEYOND_FLOATS);
    },
  },
  {
    name: 'sizes above 2^63 - 512 are INVALID_FIELD, as a number and as a text, and nothing is made',
    run: async (at) => {
      for (const size of [LARGEST_SIGNED, 2n ** 63n, LARGEST - (SECTOR - 1n), LARGEST]) {
        const make = (of: object) =>
          at.agent.operate(image.createImage, { path: at.path('disk'), format: 'raw', ...of });
        await invalid(make(bytes(size)), 'virtual_size_bytes');
        await invalid(make(text(String(size))), 'size');
      }
      for (const size of [String(LARGEST + 1n), '9'.repeat(40), `-${String(LARGEST)}`, '8388608T'])
        await invalid(
          at.agent.operate(image.createImage, { path: at.path('disk'), format: 'raw', ...text(size) }),
          'size',
        );
      assert.deepEqual(await at.names(), []);
    },
  },
  {
    name: 'a resize to a size above 2^63 - 512 is INVALID_FIELD, and the image stays',
    run: async (at) => {
      const path = await at.write('disk.raw', noise(64 * KIB));
      for (const size of [LARGEST_SIGNED, LARGEST])
        await invalid(
          at.agent.operate(image.resizeImage, { path, format: 'raw', ...bytes(size) }),
          'virtual_size_bytes',
        );
      sameBytes(await at.content(path), noise(64 * KIB));
    },
  },
  {
    name: 'an offset or length of 2^63 - 1 reads what there is; one above is INVALID_FIELD',
    run: async (at) => {
      const path = await at.write('file', noise(KIB));
      const read = (range: object) => at.agent.read(file.readFile, { path, ...range });
      const all = await read({ length: LARGEST_SIGNED });
      sameBytes(Buffer.concat(all.map(({ data }) => data)), noise(KIB));
      assert.equal(Buffer.concat((await read({ offset: LARGEST_SIGNED })).map(({ data }) => data)).length, 0);
      for (const value of [2n ** 63n, LARGEST]) {
        await invalid(read({ offset: value }), 'offset');
        await invalid(read({ length: value }), 'length');
      }
    },
  },
  {
    name: 'a write at an offset that no file can have is refused, and no file is made',
    run: async (at) => {
      for (const offset of [LARGEST_SIGNED, 2n ** 63n, LARGEST])
        await refusalFrom(at.agent.send(file.writeFile, written({ path: at.path('file'), offset }, Buffer.alloc(1))));
      assert.deepEqual(await at.names(), []);
    },
  },
  {
    name: 'a download from, and an upload of, more bytes than a file can have are INVALID_FIELD',
    run: async (at) => {
      const path = await at.write('file', noise(KIB));
      for (const value of [LARGEST_SIGNED, LARGEST]) {
        await invalid(at.agent.read(image.downloadImage, { path, offset: value }), 'offset');
        const upload = { target: at.path('new'), format: 'raw', lengthBytes: value };
        await invalid(at.agent.ask(image.startUpload, upload), 'length_bytes');
      }
      assert.deepEqual(await at.names(), ['file']);
    },
  },
  {
    name: 'a rate of 2^63 - 1 is no limit; one above is INVALID_FIELD, and nothing is made',
    run: async (at) => {
      const source = await at.write('file', noise(64 * KIB));
      const convert = (target: string, bandwidthBytesPerSecond: bigint) =>
        at.agent.operate(image.convertImage, {
          source,
          sourceFormat: 'raw',
          target,
          targetFormat: 'raw',
          bandwidthBytesPerSecond,
        });
      await convert(at.path('copy'), LARGEST_SIGNED);
      sameBytes(await at.content(at.path('copy')), noise(64 * KIB));
      for (const rate of [2n ** 63n, LARGEST])
        await invalid(convert(at.path('never'), rate), 'bandwidth_bytes_per_second');
      assert.deepEqual((await at.names()).sort(), ['copy', 'file']);
    },
  },
]);
