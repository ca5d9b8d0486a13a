/** Making and describing images. */
import assert from 'node:assert/strict';
import { DetectionBasis } from '../../src/gen/hostler/v1/image_service.js';
import { statFile } from '../agent/file-rpcs.js';
import * as image from '../agent/image-rpcs.js';
import { KIB, MIB, noise } from '../content/noise.js';
import { invalid, refused, sameBytes } from '../expect.js';
import { about, type Behaviour } from '../runner/case.js';
import { creates, trusted } from '../runner/needs.js';

/** Formats that have a header of their own, by which they are found. */
const CONTAINERS = ['qcow2', 'qed', 'vdi', 'vmdk', 'vpc', 'vhdx', 'parallels'];

const sized = (path: string, format: string, sizeBytes: number) => ({
  path,
  format,
  virtualSize: { $case: 'size' as const, value: String(sizeBytes) },
});
const texted = (path: string, format: string, size: string) => ({
  path,
  format,
  virtualSize: { $case: 'size' as const, value: size },
});

const formats: readonly Behaviour[] = CONTAINERS.map((format) => ({
  name: `an empty ${format} is made, is found by its header, and reads as zeros`,
  needs: [creates(format)],
  run: async (at) => {
    const path = await at.create(`disk.${format}`, format, 4 * MIB);
    const info = await at.info(path);
    assert.equal(info.format, format);
    const size = Number(info.virtualSizeBytes);
    // A VHD has its size in cylinders.
    assert.ok(size >= 4 * MIB && size < 5 * MIB, `its size is ${String(size)}`);
    sameBytes(await at.guestContent(path, format), Buffer.alloc(size));
  },
}));

export const imageCases = about('images', [
  ...formats,
  {
    name: 'an empty raw image has the size that was asked for and takes no space',
    run: async (at) => {
      const info = await at.info(await at.create('disk.raw', 'raw', 64 * MIB), 'raw');
      assert.deepEqual([info.format, info.virtualSizeBytes, info.fileLengthBytes], ['raw', 64n << 20n, 64n << 20n]);
      assert.ok(info.allocatedBytes <= MIB, `it takes ${String(info.allocatedBytes)} bytes`);
    },
  },
  {
    name: 'a size may be a text with decimals and a unit of 1024',
    run: async (at) => {
      const { result } = await at.agent.operate(image.createImage, texted(at.path('disk.qcow2'), 'qcow2', '1.5M'));
      assert.equal(result.result?.$case, 'image');
      assert.equal((await at.info(at.path('disk.qcow2'))).virtualSizeBytes, 1572864n);
    },
  },
  {
    name: 'a size with an unknown unit, a negative one, and none at all are INVALID_FIELD',
    run: async (at) => {
      for (const size of ['10GB', '-1', '', 'ten'])
        await refused(at.agent.operate(image.createImage, texted(at.path('disk.raw'), 'raw', size)), 'INVALID_FIELD');
      await refused(at.agent.operate(image.createImage, { path: at.path('disk.raw'), format: 'raw' }), 'INVALID_FIELD');
      assert.deepEqual(await at.names(), []);
    },
  },
  {
    name: 'a raw size that is no multiple of 512 is rounded up, with the warning SIZE_ROUNDED_UP',
    run: async (at) => {
      const { events } = await at.agent.operate(image.createImage, sized(at.path('disk.raw'), 'raw', 1000));
      assert.deepEqual(
        events.at(-1)?.warnings.map(({ reason }) => reason),
        ['SIZE_ROUNDED_UP'],
      );
      assert.equal((await at.info(at.path('disk.raw'), 'raw')).virtualSizeBytes, 1024n);
    },
  },
  {
    name: 'an image has the mode that was asked for',
    run: async (at) => {
      await at.agent.operate(image.createImage, {
        ...sized(at.path('open.raw'), 'raw', MIB),
        attributes: { mode: 0o640 },
      });
      const { mode } = await at.agent.ask(statFile, { path: at.path('open.raw') });
      assert.equal(mode & 0o777, 0o640);
    },
  },
  {
    name: 'an existing target is TARGET_EXISTS, and stays as it is',
    run: async (at) => {
      const path = await at.write('disk.raw', noise(64 * KIB));
      await refused(at.agent.operate(image.createImage, sized(path, 'raw', MIB)), 'TARGET_EXISTS');
      sameBytes(await at.content(path), noise(64 * KIB));
    },
  },
  {
    name: 'with overwrite an existing target is replaced',
    run: async (at) => {
      const path = await at.write('disk.raw', noise(64 * KIB));
      await at.agent.operate(image.createImage, { ...sized(path, 'raw', MIB), overwrite: true });
      sameBytes(await at.content(path), Buffer.alloc(MIB));
    },
  },
  {
    name: 'a target in a folder that is not there is PARENT_NOT_FOUND',
    run: async (at) => {
      const request = sized(at.path('no-folder/disk.raw'), 'raw', MIB);
      await refused(at.agent.operate(image.createImage, request), 'PARENT_NOT_FOUND');
    },
  },
  {
    name: 'an image without a format, or of an unknown one, is INVALID_FIELD',
    run: async (at) => {
      for (const format of ['', 'floppy', 'nbd'])
        await invalid(at.agent.operate(image.createImage, sized(at.path('disk'), format, MIB)), 'format');
    },
  },
  {
    name: 'a qcow2 has the cluster size, the version and the reference counts that were asked for',
    run: async (at) => {
      const layout = { clusterSizeBytes: 131072n, compat: '1.1', refcountBits: 8, lazyRefcounts: true };
      await at.agent.operate(image.createImage, { ...sized(at.path('disk.qcow2'), 'qcow2', MIB), ...layout });
      const { clusterSizeBytes, compat, refcountBits, lazyRefcounts } = await at.info(at.path('disk.qcow2'));
      assert.deepEqual({ clusterSizeBytes, compat, refcountBits, lazyRefcounts }, layout);
    },
  },
  {
    name: 'an image that is not there is IMAGE_NOT_FOUND, with its path among the facts',
    run: async (at) => {
      const path = at.path('nothing.qcow2');
      const { facts } = await refused(at.agent.ask(image.getImageInfo, { path }), 'IMAGE_NOT_FOUND');
      assert.equal(facts['path'], path);
    },
  },
  {
    name: 'a folder is no image: NOT_A_FILE',
    run: (at) => refused(at.agent.ask(image.getImageInfo, { path: at.folder }), 'NOT_A_FILE').then(() => undefined),
  },
  {
    name: 'a qcow2 that is declared raw is described as the raw bytes that it is',
    run: async (at) => {
      const path = await at.create('disk.qcow2', 'qcow2', 64 * MIB);
      const { format, virtualSizeBytes, fileLengthBytes, backingFile } = await at.info(path, 'raw');
      assert.deepEqual([format, backingFile], ['raw', undefined]);
      assert.ok(virtualSizeBytes >= fileLengthBytes && virtualSizeBytes < fileLengthBytes + 512n);
    },
  },
  {
    name: 'a raw disk that is declared qcow2 is FORMAT_MISMATCH',
    run: async (at) => {
      const path = await at.write('disk.raw', noise(64 * KIB));
      await refused(at.agent.ask(image.getImageInfo, { path, format: 'qcow2' }), 'FORMAT_MISMATCH');
    },
  },
  {
    name: 'the type of a disk comes from the path for /dev and rbd:, else from the content',
    run: async (at) => {
      const type = (path: string) => at.agent.ask(image.detectDiskType, { path });
      const { DETECTION_BASIS_PATH: byPath, DETECTION_BASIS_CONTENT: byContent } = DetectionBasis;
      assert.deepEqual(await type('/dev/vg0/disk'), { diskType: 'lvm', basis: byPath });
      assert.deepEqual(await type('rbd:pool/disk'), { diskType: 'rbd', basis: byPath });
      const path = await at.create('disk.img', 'qcow2', MIB);
      // A root below /dev: the path says what it is.
      const expected = path.startsWith('/dev/')
        ? { diskType: 'lvm', basis: byPath }
        : { diskType: 'qcow2', basis: byContent };
      assert.deepEqual(await type(path), expected);
    },
  },
  {
    name: 'the map of an image has its data and its holes, in order and without gaps',
    needs: [trusted],
    run: async (at) => {
      const path = await at.writeSparse('disk.raw', 8 * MIB, [[2 * MIB, noise(MIB)]]);
      const extents = (await at.agent.read(image.mapImage, { path, format: 'raw' })).flatMap((each) => each.extents);
      let end = 0n;
      for (const { offsetBytes, lengthBytes } of extents) {
        assert.equal(offsetBytes, end, 'an extent begins where the one before ends');
        end += lengthBytes;
      }
      assert.equal(end, 8n << 20n);
      const data = extents.filter((each) => each.data && !each.zero);
      assert.ok(
        data.some(({ offsetBytes, lengthBytes }) => offsetBytes <= 2n << 20n && offsetBytes + lengthBytes >= 3n << 20n),
      );
    },
  },
  {
    name: 'a measured image says how much space it takes in another format',
    needs: [trusted],
    run: async (at) => {
      const path = await at.write('disk.raw', noise(2 * MIB));
      const request = { path, format: 'raw', targetFormat: 'qcow2' };
      const { requiredBytes, fullyAllocatedBytes } = await at.agent.ask(image.measureImage, request);
      assert.ok(requiredBytes >= 2n << 20n && requiredBytes < 4n << 20n, `required: ${String(requiredBytes)}`);
      assert.ok(fullyAllocatedBytes >= requiredBytes);
    },
  },
  {
    name: 'many images are described in the order of the request, each with its own answer or error',
    run: async (at) => {
      const one = await at.create('one.qcow2', 'qcow2', MIB);
      const two = await at.create('two.raw', 'raw', MIB);
      const paths = [one, at.path('none'), two, one];
      const answers = await at.agent.read(image.batchGetImageInfo, { paths });
      const results = answers.flatMap((each) => each.results);
      assert.deepEqual(
        results.map(({ index }) => index),
        [0, 1, 2, 3],
      );
      assert.deepEqual(
        results.map(({ outcome }) => outcome?.$case),
        ['info', 'error', 'info', 'info'],
      );
    },
  },
  {
    name: 'a format that cannot be compressed is INVALID_FIELD with compress',
    run: async (at) => {
      const source = await at.write('disk.raw', noise(64 * KIB));
      const request = { source, sourceFormat: 'raw', target: at.path('disk.vdi'), targetFormat: 'vdi', compress: true };
      await invalid(at.agent.operate(image.convertImage, request), 'compress');
    },
  },
]);
