/**
 * What the daemon writes as a new qcow2, beside what `qemu-img create` writes: a sample of
 * test/corpus/empty-qcow2.test.ts.
 */
import assert from 'node:assert/strict';
import { emptyImage } from '../../../src/domain/formats/empty/empty-image.js';
import { emptyQcow2, type Qcow2Choices } from '../../../src/domain/formats/empty/empty-qcow2.js';
import {
  assertAsQemuMakes,
  everyChoice,
  folderInMemory,
  sampleOf,
  writeImage,
} from '../../support/images/empty-images.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { randomNumbers } from '../../support/soak.js';

const SEED = Number(process.env['SEED'] ?? '1');
const SAMPLE = 120;
const GIB = 1n << 30n;

describe('an empty qcow2', () => {
  const scratch = scratchFolder();
  let folder: string;
  before(async () => {
    folder = await folderInMemory(scratch);
  });

  it('is byte by byte what qemu-img makes, or what it refuses', async () => {
    const quick = everyChoice().filter(isQuick);
    const made = new Set<string>();
    for (const choices of sampleOf(quick, SAMPLE, randomNumbers(SEED)))
      made.add(await assertAsQemuMakes(`${folder}/theirs`, choices));
    assert.deepEqual([...made].sort(), ['made', 'refused'], 'the sample has both');
  });

  for (const [name, chosen] of [
    ['many refcount blocks', { clusterBytes: 512, sizeBytes: 2n * GIB, refcountBits: 16 }],
    ['a refcount table that has grown', { clusterBytes: 512, sizeBytes: 9n * GIB, refcountBits: 64 }],
    ['narrow refcounts', { clusterBytes: 512, sizeBytes: 2n * GIB, refcountBits: 1 }],
    ['nothing', { clusterBytes: 65_536, sizeBytes: 0n }],
  ] as const)
    it(`${name}: the same bytes, and qemu-img finds nothing wrong`, async () => {
      const [plain] = everyChoice();
      assert.ok(plain !== undefined);
      const choices = { ...plain, ...chosen };
      assert.equal(await assertAsQemuMakes(`${folder}/theirs`, choices), 'made');
      const image = emptyQcow2(choices);
      assert.ok(image !== undefined);
      await writeImage(`${folder}/ours`, image);
      await sh('qemu-img', 'check', '-q', '-f', 'qcow2', `${folder}/ours`);
    });

  it('is left to a tool where it has its space already, a passphrase, or another format', () => {
    const request = { format: 'qcow2', sizeBytes: GIB, preallocation: 'off' } as const;
    assert.ok(emptyImage(request) !== undefined);
    assert.equal(emptyImage({ ...request, preallocation: 'metadata' }), undefined);
    assert.equal(emptyImage({ ...request, passphrase: Buffer.from('secret') }), undefined);
    assert.equal(emptyImage({ ...request, format: 'vmdk' }), undefined);
    assert.equal(emptyImage({ ...request, clusterSizeBytes: 512n, sizeBytes: 1n << 36n }), undefined);
    assert.deepEqual(emptyImage({ ...request, format: 'raw', sizeBytes: 1000n }), { lengthBytes: 1024n, pieces: [] });
  });
});

/** qemu-img takes seconds for large tables in small clusters; what is too large it refuses at once. */
function isQuick({ sizeBytes, clusterBytes }: Qcow2Choices): boolean {
  return sizeBytes <= 64n * BigInt(clusterBytes) ** 2n || sizeBytes >= 1n << 54n;
}
