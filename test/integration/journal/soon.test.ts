/** Records that need not be durable at once share the sync of the next one. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { asAddress } from '../../../src/domain/model/address.js';
import { openJournal } from '../../support/journals/journals.js';
import { done, id, record } from '../../support/journals/records.js';
import { scratchFolder } from '../../support/scratch.js';

const disk = { device: 1n, inode: 2n, birthTimeNs: 3n, lengthBytes: 4n };
const mark = { device: 1n, inode: 2n, address: asAddress('/a'), operationId: id(0), method: 'ResizeImage' };

describe('records that may come soon', () => {
  const scratch = scratchFolder();
  /** The journal counts its transactions beside its file. */
  const transactions = async () => Number.parseInt(await readFile(scratch.path('journal.writes'), 'latin1'), 10);

  it('are in the transaction of the next one, in the order of the calls', async () => {
    const { journal } = await openJournal(scratch.path());
    await journal.put(record(1));
    const before = await transactions();
    const soon = [journal.putSoon(record(1, { state: 'RUNNING' })), journal.putRawDisk(disk)];
    await journal.putMark(mark);
    await Promise.all(soon);
    assert.equal(await transactions(), before + 1);
    assert.equal((await journal.get(id(1)))?.state, 'RUNNING');
    assert.deepEqual([await journal.rawDisks(), await journal.marks()], [[disk], [mark]]);
    await journal.put(done(1));
    await journal.close();
  });

  it('are not lost when the journal is closed', async () => {
    const { journal } = await openJournal(scratch.path());
    const soon = journal.putSoon(done(2));
    await journal.close();
    await soon;
    const again = await openJournal(scratch.path());
    assert.equal((await again.journal.get(id(2)))?.state, 'SUCCEEDED');
    await again.journal.close();
  });
});
