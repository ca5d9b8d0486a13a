import assert from 'node:assert/strict';
import { asAddress } from '../../../src/domain/model/address.js';
import { TouchedImages, type TouchMark } from '../../../src/domain/operations/recovery/touched.js';
import { MemoryJournal } from '../../support/journals/memory-journal.js';

describe('marks of images that are being changed', () => {
  const address = asAddress('/images/one');
  const mark: TouchMark = { device: 1n, inode: 2n, birthTimeNs: 3n, address, operationId: 'op', method: 'ResizeImage' };
  const file = { device: 1n, inode: 2n, birthTimeNs: 3n };
  const elsewhere = asAddress('/images/other');

  it('are found by number and birth, under any name, and after a start by number, birth and name', async () => {
    const touched = await TouchedImages.load(new MemoryJournal(10));
    await touched.touch(mark);
    assert.equal(touched.find(file, elsewhere), mark);
    assert.equal(touched.find({ ...file, device: 9n }, address), mark);
    assert.equal(touched.find({ ...file, device: 9n }, elsewhere), undefined);
    // A filesystem that keeps no times of birth.
    assert.equal(touched.find({ device: 1n, inode: 2n }, elsewhere), mark);
  });

  it('are not those of a later file with the number, even under the same name', async () => {
    const touched = await TouchedImages.load(new MemoryJournal(10));
    await touched.touch(mark);
    for (const device of [1n, 9n]) assert.equal(touched.find({ ...file, device, birthTimeNs: 4n }, address), undefined);
  });

  it('go when a new file has the number', async () => {
    const journal = new MemoryJournal(10);
    const touched = await TouchedImages.load(journal);
    await touched.touch({ ...mark });
    await touched.forget({ device: 1n, inode: 2n });
    assert.deepEqual([touched.all, await journal.marks()], [[], []]);
  });
});
