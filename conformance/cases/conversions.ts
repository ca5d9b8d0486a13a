/** Writing images in other formats. */
import assert from 'node:assert/strict';
import { CompressionType } from '../../src/gen/hostler/v1/image.js';
import * as image from '../agent/image-rpcs.js';
import { KIB, MIB, noise } from '../content/noise.js';
import { refused, sameBytes } from '../expect.js';
import { about, type Behaviour } from '../runner/case.js';
import { creates, trusted } from '../runner/needs.js';

/** Some data with zeros around it; a whole number of the cylinders of a VHD is not needed. */
const CONTENT = Buffer.concat([noise(300 * KIB), Buffer.alloc(MIB), noise(724 * KIB, 2)]);

const there: readonly Behaviour[] = ['qcow2', 'qed', 'vdi', 'vmdk', 'vhdx', 'parallels'].map((format) => ({
  name: `what is converted from raw to ${format} and back is the same`,
  needs: [creates(format)],
  run: async (at) => {
    const path = await at.imageOf(`disk.${format}`, format, CONTENT);
    sameBytes((await at.guestContent(path, format)).subarray(0, CONTENT.length), CONTENT);
  },
}));

const compressed: readonly Behaviour[] = [
  { type: CompressionType.COMPRESSION_TYPE_ZLIB, word: 'zlib' },
  { type: CompressionType.COMPRESSION_TYPE_ZSTD, word: 'zstd' },
].map(({ type, word }) => ({
  name: `an image that is compressed with ${word} is smaller and has the same content`,
  run: async (at) => {
    const text = Buffer.from('a line that comes again and again\n'.repeat(32 * KIB)).subarray(0, MIB);
    const source = await at.write('text.raw', text);
    const request = { source, sourceFormat: 'raw', target: at.path('disk.qcow2'), targetFormat: 'qcow2' };
    await at.agent.operate(image.convertImage, { ...request, compress: true, compressionType: type });
    const { fileLengthBytes, compressionType } = await at.info(request.target);
    assert.equal(compressionType, word);
    assert.ok(fileLengthBytes < BigInt(MIB), `it has ${String(fileLengthBytes)} bytes`);
    sameBytes(await at.guestContent(request.target, 'qcow2'), text);
  },
}));

export const conversionCases = about('conversions', [
  ...there,
  ...compressed,
  {
    name: 'a conversion reads the whole chain, and its target has no base',
    needs: [trusted],
    run: async (at) => {
      const base = await at.write('base.raw', noise(MIB));
      const source = await at.overlay('top.qcow2', base, 'raw');
      const request = { source, sourceFormat: 'qcow2', target: at.path('flat.qcow2'), targetFormat: 'qcow2' };
      await at.agent.operate(image.convertImage, request);
      assert.equal((await at.info(request.target)).backingFile, undefined);
      sameBytes(await at.guestContent(request.target, 'qcow2'), noise(MIB));
    },
  },
  {
    name: 'zeros become holes',
    run: async (at) => {
      const source = await at.write('zeros.raw', Buffer.alloc(8 * MIB));
      const request = { source, sourceFormat: 'raw', target: at.path('disk.qcow2'), targetFormat: 'qcow2' };
      await at.agent.operate(image.convertImage, request);
      const { allocatedBytes } = await at.info(request.target);
      assert.ok(allocatedBytes < BigInt(2 * MIB), `it takes ${String(allocatedBytes)} bytes`);
    },
  },
  {
    name: 'a conversion from another format than was declared is FORMAT_MISMATCH, and leaves nothing',
    run: async (at) => {
      const source = await at.write('disk.raw', noise(MIB));
      const request = { source, sourceFormat: 'qcow2', target: at.path('disk.vmdk'), targetFormat: 'vmdk' };
      await refused(at.agent.operate(image.convertImage, request), 'FORMAT_MISMATCH');
      assert.deepEqual(await at.names(), ['disk.raw']);
    },
  },
  {
    name: 'a qcow2 that is declared raw is converted as the raw bytes that it is',
    needs: [trusted],
    run: async (at) => {
      const source = await at.imageOf('disk.qcow2', 'qcow2', noise(64 * KIB));
      const bytes = await at.content(source);
      const request = { source, sourceFormat: 'raw', target: at.path('copy.raw'), targetFormat: 'raw' };
      await at.agent.operate(image.convertImage, request);
      sameBytes((await at.content(request.target)).subarray(0, bytes.length), bytes);
    },
  },
  {
    name: 'a conversion onto its own source is SAME_FILE, and onto another file TARGET_EXISTS',
    run: async (at) => {
      const source = await at.write('disk.raw', noise(MIB));
      const onto = (target: string, overwrite: boolean) =>
        at.agent.operate(image.convertImage, { source, sourceFormat: 'raw', target, targetFormat: 'qcow2', overwrite });
      await refused(onto(source, true), 'SAME_FILE');
      await refused(onto(await at.write('other', noise(KIB)), false), 'TARGET_EXISTS');
      sameBytes(await at.content(source), noise(MIB));
    },
  },
  {
    name: 'a preallocated target takes its whole size at once',
    run: async (at) => {
      const source = await at.create('empty.raw', 'raw', 4 * MIB);
      const request = { source, sourceFormat: 'raw', target: at.path('full.raw'), targetFormat: 'raw' };
      await at.agent.operate(image.convertImage, { ...request, preallocation: 4 });
      const { allocatedBytes } = await at.info(request.target, 'raw');
      assert.ok(allocatedBytes >= BigInt(4 * MIB), `it takes ${String(allocatedBytes)} bytes`);
    },
  },
  {
    name: 'an extraction takes iso for raw and ploop for parallels',
    needs: [creates('parallels')],
    run: async (at) => {
      const path = await at.imageOf('disk.qcow2', 'qcow2', noise(MIB));
      const to = async (name: string, targetFormat: string) => {
        const request = { path, sourceFormat: 'qcow2', target: at.path(name), targetFormat };
        await at.agent.operate(image.extractSnapshot, request);
        return request.target;
      };
      sameBytes(await at.content(await to('disk.iso', 'iso')), noise(MIB));
      assert.equal((await at.info(await to('disk.ploop', 'ploop'))).format, 'parallels');
    },
  },
  {
    name: 'a fixed VHD has exactly the size that was asked for and a footer',
    needs: [creates('vpc')],
    run: async (at) => {
      const source = await at.write('disk.raw', noise(2 * MIB));
      const request = { source, sourceFormat: 'raw', target: at.path('disk.vhd'), targetFormat: 'vpc' };
      await at.agent.operate(image.convertImage, { ...request, subformat: 'fixed' });
      const { subformat, fileLengthBytes, virtualSizeBytes } = await at.info(request.target);
      assert.equal(subformat, 'fixed');
      assert.equal(fileLengthBytes, virtualSizeBytes + 512n);
    },
  },
  {
    name: 'an encrypted image opens with its passphrase only: else SECRET_REQUIRED',
    run: async (at) => {
      const source = await at.write('disk.raw', noise(64 * KIB));
      const passphrase = Buffer.from('conformance');
      const target = at.path('secret.qcow2');
      await at.agent.operate(image.convertImage, {
        ...{ source, sourceFormat: 'raw', target, targetFormat: 'qcow2' },
        encryption: { format: 'luks', passphrase },
      });
      assert.equal((await at.info(target)).encrypted, true);
      const back = { source: target, sourceFormat: 'qcow2', target: at.path('plain.raw'), targetFormat: 'raw' };
      await refused(at.agent.operate(image.convertImage, back), 'SECRET_REQUIRED');
      const wrong = { ...back, sourceSecret: { passphrase: Buffer.from('wrong') } };
      await refused(at.agent.operate(image.convertImage, wrong), 'SECRET_REQUIRED');
      await at.agent.operate(image.convertImage, { ...back, sourceSecret: { passphrase } });
      sameBytes(await at.content(back.target), noise(64 * KIB));
    },
  },
]);
