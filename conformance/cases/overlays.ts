/** Overlays, their bases, and what protects a base. */
import assert from 'node:assert/strict';
import { deleteFile } from '../agent/file-rpcs.js';
import * as image from '../agent/image-rpcs.js';
import type { Bench } from '../bench/bench.js';
import { KIB, MIB, noise } from '../content/noise.js';
import { invalid, refused, sameBytes } from '../expect.js';
import { about } from '../runner/case.js';
import { trusted } from '../runner/needs.js';

const needs = [trusted];

/** A raw base with content, and an overlay on it. */
async function pair(at: Bench) {
  const base = await at.write('base.raw', noise(MIB));
  return { base, overlay: await at.overlay('top.qcow2', base, 'raw') };
}

/** A base and an overlay that has content of its own. */
async function changedPair(at: Bench) {
  const { base, overlay } = await pair(at);
  const other = await at.imageOf('other.qcow2', 'qcow2', noise(MIB, 2));
  const rebase = { path: other, format: 'qcow2', backingFile: base, backingFormat: 'raw', headerOnly: true };
  await at.agent.operate(image.rebaseImage, rebase);
  return { base, overlay, changed: other };
}

const overlays = about('overlays', [
  {
    name: 'an overlay names its base and the format as they were given, and shows its content',
    needs,
    run: async (at) => {
      const { base, overlay } = await pair(at);
      const { backingFile, fullBackingFile, backingFileBasename, backingFormat } = await at.info(overlay, 'qcow2');
      assert.deepEqual(
        { backingFile, fullBackingFile, backingFileBasename, backingFormat },
        { backingFile: base, fullBackingFile: base, backingFileBasename: 'base.raw', backingFormat: 'raw' },
      );
      sameBytes(await at.guestContent(overlay, 'qcow2'), noise(MIB));
    },
  },
  {
    name: 'an overlay may be larger than its base, and reads as zeros beyond it',
    needs,
    run: async (at) => {
      const backingFile = await at.write('base.raw', noise(MIB));
      const path = at.path('top.qcow2');
      const virtualSize = { $case: 'size' as const, value: String(2 * MIB) };
      await at.agent.operate(image.createOverlay, { path, backingFile, backingFormat: 'raw', virtualSize });
      sameBytes(await at.guestContent(path, 'qcow2'), Buffer.concat([noise(MIB), Buffer.alloc(MIB)]));
    },
  },
  {
    name: 'an overlay smaller than its base is BASE_LARGER, and is not made',
    needs,
    run: async (at) => {
      const backingFile = await at.write('base.raw', noise(MIB));
      const virtualSize = { $case: 'size' as const, value: String(MIB - 512) };
      const request = { path: at.path('top.qcow2'), backingFile, backingFormat: 'raw', virtualSize };
      await refused(at.agent.operate(image.createOverlay, request), 'BASE_LARGER');
      assert.deepEqual(await at.names(), ['base.raw']);
    },
  },
  {
    name: 'an overlay has the cluster size of its base unless the request names one',
    needs,
    run: async (at) => {
      const base = at.path('base.qcow2');
      const virtualSize = { $case: 'size' as const, value: String(MIB) };
      const clusterSizeBytes = BigInt(128 * KIB);
      await at.agent.operate(image.createImage, { path: base, format: 'qcow2', virtualSize, clusterSizeBytes });
      assert.equal((await at.info(await at.overlay('top.qcow2', base, 'qcow2'))).clusterSizeBytes, clusterSizeBytes);
    },
  },
  {
    name: 'a base that has a base is BASE_HAS_BACKING_FILE without allow_chain',
    needs,
    run: async (at) => {
      const { overlay } = await pair(at);
      const request = { path: at.path('third.qcow2'), backingFile: overlay, backingFormat: 'qcow2' };
      await refused(at.agent.operate(image.createOverlay, request), 'BASE_HAS_BACKING_FILE');
      await at.agent.operate(image.createOverlay, { ...request, allowChain: true });
    },
  },
  {
    name: 'a chain is described from the nearest layer down, and only if the format is declared',
    needs,
    run: async (at) => {
      const { base, overlay } = await pair(at);
      const path = await at.overlay('third.qcow2', overlay, 'qcow2');
      const chain = { path, format: 'qcow2', backingChain: true };
      const { backingChain } = await at.agent.ask(image.getImageInfo, chain);
      assert.deepEqual(
        backingChain.map((each) => [each.path, each.format]),
        [
          [overlay, 'qcow2'],
          [base, 'raw'],
        ],
      );
      await refused(at.agent.ask(image.getImageInfo, { path, backingChain: true }), 'INVALID_FIELD');
    },
  },
  {
    name: 'a base of another format than was declared is FORMAT_MISMATCH',
    needs,
    run: async (at) => {
      const backingFile = await at.write('base.raw', noise(MIB));
      const request = { path: at.path('top.qcow2'), backingFile, backingFormat: 'qcow2' };
      await refused(at.agent.operate(image.createOverlay, request), 'FORMAT_MISMATCH');
    },
  },
  {
    name: 'an overlay without the format of its base is INVALID_FIELD',
    run: async (at) => {
      const backingFile = await at.write('base.raw', noise(MIB));
      const request = { path: at.path('top.qcow2'), backingFile };
      await invalid(at.agent.operate(image.createOverlay, request), 'backing_format');
    },
  },
  {
    name: 'a base that is not there is IMAGE_NOT_FOUND, and one outside the roots PATH_OUTSIDE_ROOTS',
    run: async (at) => {
      const on = (backingFile: string) =>
        at.agent.operate(image.createOverlay, { path: at.path('top.qcow2'), backingFile, backingFormat: 'raw' });
      await refused(on(at.path('nothing')), 'IMAGE_NOT_FOUND');
      await refused(on('/etc/passwd'), 'PATH_OUTSIDE_ROOTS');
      assert.deepEqual(await at.names(), []);
    },
  },
]);

const bases = about('bases', [
  {
    name: 'a base is not deleted while an image is backed by it, and the facts name that image',
    needs,
    run: async (at) => {
      const { base, overlay } = await pair(at);
      const { facts } = await refused(at.agent.operate(image.deleteImage, { path: base }), 'IMAGE_HAS_DEPENDANTS');
      assert.ok(
        Object.values(facts).some((fact) => fact.includes(overlay)),
        `facts: ${JSON.stringify(facts)}`,
      );
      sameBytes(await at.content(base), noise(MIB));
      await at.agent.operate(image.deleteImage, { path: overlay });
      await at.agent.operate(image.deleteImage, { path: base });
    },
  },
  {
    name: 'a base is neither overwritten, wiped nor removed by DeleteFile while an image is backed by it',
    needs,
    run: async (at) => {
      const { base } = await pair(at);
      const virtualSize = { $case: 'size' as const, value: String(MIB) };
      const overwrite = { path: base, format: 'raw', virtualSize, overwrite: true };
      await refused(at.agent.operate(image.createImage, overwrite), 'IMAGE_HAS_DEPENDANTS');
      await refused(at.agent.operate(image.wipeImage, { path: base, mode: 1 }), 'IMAGE_HAS_DEPENDANTS');
      await refused(at.agent.ask(deleteFile, { path: base }), 'IMAGE_HAS_DEPENDANTS');
      sameBytes(await at.content(base), noise(MIB));
    },
  },
  {
    name: 'with allow_dependants a base is deleted all the same',
    needs,
    run: async (at) => {
      const { base } = await pair(at);
      await at.agent.operate(image.deleteImage, { path: base, allowDependants: true });
      assert.equal(await at.exists(base), false);
    },
  },
  {
    name: 'a commit writes the content of an overlay into its base, and leaves the overlay as it was',
    needs,
    run: async (at) => {
      const { base, overlay, changed } = await changedPair(at);
      await at.agent.operate(image.deleteImage, { path: overlay });
      const { result } = await at.agent.operate(image.commitImage, { path: changed, format: 'qcow2' });
      assert.equal(result.result?.$case, 'image');
      assert.equal(result.result.value.info?.path, base);
      sameBytes(await at.content(base), noise(MIB, 2));
      sameBytes(await at.guestContent(changed, 'qcow2'), noise(MIB, 2));
    },
  },
  {
    name: 'a commit into a base that another image is on is IMAGE_HAS_DEPENDANTS',
    needs,
    run: async (at) => {
      const { base, changed } = await changedPair(at);
      const request = { path: changed, format: 'qcow2' };
      await refused(at.agent.operate(image.commitImage, request), 'IMAGE_HAS_DEPENDANTS');
      sameBytes(await at.content(base), noise(MIB));
    },
  },
  {
    name: 'a commit of an image without a base, or to a layer that it does not have, is LAYER_NOT_FOUND',
    needs,
    run: async (at) => {
      const path = await at.create('alone.qcow2', 'qcow2', MIB);
      await refused(at.agent.operate(image.commitImage, { path, format: 'qcow2' }), 'LAYER_NOT_FOUND');
      const { overlay } = await pair(at);
      const request = { path: overlay, format: 'qcow2', base: path };
      await refused(at.agent.operate(image.commitImage, request), 'LAYER_NOT_FOUND');
    },
  },
  {
    name: 'a rebase onto nothing flattens the image, whose content stays',
    needs,
    run: async (at) => {
      const { overlay } = await pair(at);
      await at.agent.operate(image.rebaseImage, { path: overlay, format: 'qcow2' });
      assert.equal((await at.info(overlay, 'qcow2')).backingFile, undefined);
      sameBytes(await at.guestContent(overlay, 'qcow2'), noise(MIB));
    },
  },
  {
    name: 'a rebase onto another base keeps the content',
    needs,
    run: async (at) => {
      const { overlay } = await pair(at);
      const backingFile = await at.write('second.raw', noise(MIB, 3));
      const request = { path: overlay, format: 'qcow2', backingFile, backingFormat: 'raw' };
      await at.agent.operate(image.rebaseImage, request);
      assert.equal((await at.info(overlay, 'qcow2')).backingFile, backingFile);
      sameBytes(await at.guestContent(overlay, 'qcow2'), noise(MIB));
    },
  },
  {
    name: 'a rebase of the header only changes nothing but the name in it',
    needs,
    run: async (at) => {
      const { overlay } = await pair(at);
      const backingFile = await at.write('second.raw', noise(MIB, 3));
      const request = { path: overlay, format: 'qcow2', backingFile, backingFormat: 'raw', headerOnly: true };
      await at.agent.operate(image.rebaseImage, request);
      sameBytes(await at.guestContent(overlay, 'qcow2'), noise(MIB, 3));
    },
  },
  {
    name: 'a rebase of the header only onto a file outside the roots is PATH_OUTSIDE_ROOTS',
    needs,
    run: async (at) => {
      const { base, overlay } = await pair(at);
      const request = {
        path: overlay,
        format: 'qcow2',
        backingFile: '/etc/passwd',
        backingFormat: 'raw',
        headerOnly: true,
      };
      await refused(at.agent.operate(image.rebaseImage, request), 'PATH_OUTSIDE_ROOTS');
      assert.equal((await at.info(overlay, 'qcow2')).backingFile, base);
    },
  },
  {
    name: 'an image cannot be rebased onto an image that is backed by it',
    needs,
    run: async (at) => {
      const { overlay } = await pair(at);
      const backingFile = await at.overlay('third.qcow2', overlay, 'qcow2');
      const request = { path: overlay, format: 'qcow2', backingFile, backingFormat: 'qcow2' };
      await refused(at.agent.operate(image.rebaseImage, request), 'IMAGE_UNSAFE');
    },
  },
]);

export const overlayCases = [...overlays, ...bases];
