/** Every new qcow2 that the daemon writes by itself, beside the same one of `qemu-img create`. */
import assert from 'node:assert/strict';
import { emptyQcow2 } from '../../src/domain/formats/empty/empty-qcow2.js';
import { assertAsQemuMakes, everyChoice, folderInMemory, writeImage } from '../support/images/empty-images.js';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';

/** One of so many is made; EVERY=1: each, which takes a quarter of an hour. */
const EVERY = Number(process.env['EVERY'] ?? '5');

describe('every empty qcow2', () => {
  const scratch = scratchFolder();
  let folder: string;
  before(async () => {
    folder = await folderInMemory(scratch);
  });
  const chosen = everyChoice().filter((_, at) => at % EVERY === 0);
  const clusters = Map.groupBy(chosen, ({ clusterBytes }) => clusterBytes);
  for (const [clusterBytes, choices] of clusters)
    it(`in clusters of ${String(clusterBytes)} bytes: what qemu-img makes, or refuses`, async function () {
      this.timeout(900_000);
      for (const choice of choices) {
        if ((await assertAsQemuMakes(`${folder}/theirs`, choice)) === 'refused') continue;
        const image = emptyQcow2(choice);
        assert.ok(image !== undefined);
        await writeImage(`${folder}/ours`, image);
        await sh('qemu-img', 'check', '-q', alone(`${folder}/ours`));
      }
    });
});

/** An image whose base is there by name only. */
function alone(path: string): string {
  return `json:${JSON.stringify({ driver: 'qcow2', file: { driver: 'file', filename: path }, backing: null })}`;
}
