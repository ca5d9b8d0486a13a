/** What is known of the images in a folder, and how it changes. */
import assert from 'node:assert/strict';
import { ImageChangeKind, type InventoryImage } from '../../src/gen/hostler/v1/inventory.js';
import { until } from '../agent/agent.js';
import { createDirectory } from '../agent/file-rpcs.js';
import * as image from '../agent/image-rpcs.js';
import type { Bench } from '../bench/bench.js';
import { MIB, noise } from '../content/noise.js';
import { refused } from '../expect.js';
import { about, type Behaviour } from '../runner/case.js';
import { serves, trusted } from '../runner/needs.js';

type Choices = Parameters<typeof image.listImages.request>[0];

/** All pages; the paths, sorted. */
async function listed(at: Bench, choices: Choices = {}): Promise<InventoryImage[]> {
  const images: InventoryImage[] = [];
  for (let pageToken = ''; ;) {
    const page = await at.agent.ask(image.listImages, { path: at.folder, ...choices, pageToken });
    images.push(...page.images);
    pageToken = page.nextPageToken;
    if (pageToken === '') return images;
  }
}

const pathsOf = (images: readonly InventoryImage[]) => images.map(({ path }) => path).sort();

/** Reads a watch until one of its changes is that. */
async function awaitChange(at: Bench, generation: string, kind: ImageChangeKind, path: string): Promise<string> {
  const stream = at.agent.open(image.watchImages, { path: at.folder, generation });
  const found = await until(stream, ({ changes }) => changes.some((each) => each.kind === kind && each.path === path));
  return found.generation;
}

const behaviours: readonly Behaviour[] = [
  {
    name: 'a list has every image in a folder and below, with its format and size',
    run: async (at) => {
      await at.agent.operate(createDirectory, { path: at.path('below') });
      const qcow2 = await at.create('disk.qcow2', 'qcow2', 2 * MIB);
      const raw = await at.write('below/disk.raw', noise(MIB));
      const found = (await listed(at)).map(({ path, format, virtualSizeBytes }) => [path, format, virtualSizeBytes]);
      assert.deepEqual(found.sort(), [
        [raw, 'raw', BigInt(MIB)],
        [qcow2, 'qcow2', BigInt(2 * MIB)],
      ]);
      assert.deepEqual(pathsOf(await listed(at, { flat: true })), [qcow2]);
    },
  },
  {
    name: 'the pages of a list have each image once',
    run: async (at) => {
      const paths: string[] = [];
      for (const name of ['a', 'b', 'c', 'd', 'e']) paths.push(await at.write(name, noise(512)));
      assert.deepEqual(pathsOf(await listed(at, { pageSize: 2 })), paths);
    },
  },
  {
    name: 'images are found by format, by their base, and by whether others are backed by them',
    needs: [trusted],
    run: async (at) => {
      const base = await at.write('base.raw', noise(MIB));
      const overlay = await at.overlay('top.qcow2', base, 'raw');
      assert.deepEqual(pathsOf(await listed(at, { filter: { formats: ['qcow2'] } })), [overlay]);
      assert.deepEqual(pathsOf(await listed(at, { filter: { backedBy: base } })), [overlay]);
      assert.deepEqual(pathsOf(await listed(at, { filter: { hasDependants: true } })), [base]);
    },
  },
  {
    name: 'an image is found by the operation that made it, and by the labels of that operation',
    run: async (at) => {
      await at.write('other.raw', noise(MIB));
      const path = at.path('disk.raw');
      const labels = { made: at.folder };
      const virtualSize = { $case: 'size' as const, value: '1M' };
      const { id } = await at.agent.operate(image.createImage, { path, format: 'raw', virtualSize, labels });
      assert.deepEqual(pathsOf(await listed(at, { filter: { operationId: id } })), [path]);
      assert.deepEqual(pathsOf(await listed(at, { filter: { labels } })), [path]);
    },
  },
  {
    name: 'a watch from the generation of a list brings what is made and what is removed after it',
    run: async (at) => {
      const { generation } = await at.agent.ask(image.listImages, { path: at.folder });
      const path = await at.create('disk.qcow2', 'qcow2', MIB);
      const { IMAGE_CHANGE_KIND_CREATED, IMAGE_CHANGE_KIND_REMOVED } = ImageChangeKind;
      const made = await awaitChange(at, generation, IMAGE_CHANGE_KIND_CREATED, path);
      await at.agent.operate(image.deleteImage, { path });
      await awaitChange(at, made, IMAGE_CHANGE_KIND_REMOVED, path);
    },
  },
  {
    name: 'a list of one image has that image, and of nothing is FILE_NOT_FOUND',
    run: async (at) => {
      const path = await at.write('disk.raw', noise(MIB));
      assert.deepEqual(pathsOf(await listed(at, { path })), [path]);
      await refused(listed(at, { path: at.path('nothing') }), 'FILE_NOT_FOUND');
    },
  },
  {
    name: 'an upload that is not complete is in no list',
    run: async (at) => {
      await at.upload(at.path('disk.raw'), 'raw', noise(MIB), { until: MIB / 2 });
      assert.deepEqual(await listed(at), []);
    },
  },
];

export const inventoryCases = about(
  'inventory',
  behaviours.map((each) => ({ ...each, needs: [serves('inventory'), ...(each.needs ?? [])] })),
);
