/**
 * The write-ahead log goes into the file seldom, because everybody waits meanwhile; and what is
 * asked while many write is answered between two transactions.
 */
import assert from 'node:assert/strict';
import { mkdtemp, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { JournalFile } from '../../../src/adapters/journal/journal-file.js';
import { connect } from '../../../src/adapters/journal/opening.js';
import { encode } from '../../../src/adapters/journal/rows.js';
import { create } from '../../../src/adapters/journal/schema.js';
import type { JournalStore } from '../../../src/adapters/journal/store.js';
import { idsOf, openJournal } from '../../support/journals/journals.js';
import { done, id, record } from '../../support/journals/records.js';
import { scratchFolder } from '../../support/scratch.js';
import { until } from '../../support/until.js';

/** The log is written into the file once it has so many bytes. */
const LOG_BYTES = 1 << 20;

describe('the log of the journal', () => {
  const scratch = scratchFolder();
  let path = '';
  const lengthOfLog = async () => (await stat(`${path}-wal`)).size;
  /** Changes when the log goes into the file, and at no other time. */
  const written = async () => (await stat(path, { bigint: true })).mtimeNs;
  const puts = (from: number, count: number) => Array.from({ length: count }, (_, n) => done(from + n));

  describe('of a file', () => {
    it('counts what is not in the file, however long the log once was', () => {
      path = scratch.path('one.sqlite');
      const database = connect(path);
      create(database);
      const file = new JournalFile(database, Date.now);
      const write = (n: number) => {
        file.write([{ kind: 'operation', key: id(n), body: encode(done(n)) }]);
      };
      file.checkpoint('PASSIVE');
      assert.equal(file.logPages(), 0);
      for (let n = 0; n < 200; n++) write(n);
      const long = file.logPages();
      assert.ok(long >= 200, String(long));
      file.checkpoint('PASSIVE');
      assert.equal(file.logPages(), 0);
      write(200);
      assert.ok(file.logPages() > 0 && file.logPages() < 30, String(file.logPages()));
      file.checkpoint('TRUNCATE');
      assert.equal(file.logPages(), 0);
      database.close();
    });
  });

  describe('of a store', () => {
    let folder = '';
    let journal: JournalStore;
    beforeEach(async () => {
      folder = await mkdtemp(scratch.path('store-'));
      path = join(folder, 'journal.sqlite');
      ({ journal } = await openJournal(folder));
    });
    afterEach(() => journal.close());

    it('goes into the file seldom while little is written, also after it was long', async function () {
      this.timeout(30_000);
      const before = await written();
      for (let n = 0; (await lengthOfLog()) < LOG_BYTES + 1000; n += 50)
        await Promise.all(puts(n, 50).map((each) => journal.put(each)));
      await until(async () => (await written()) !== before);
      const times = new Set<bigint>();
      for (let n = 0; n < 40; n++) {
        await journal.put(done(10_000 + n));
        times.add(await written());
        // Time for the thread to look whether the log is long.
        await sleep(20);
      }
      assert.ok(times.size <= 4, `${String(times.size)} times during 40 changes`);
    });
    it('answers between two of many changes that come at once', async () => {
      let finished = 0;
      const all = puts(20_000, 2000).map(async (each) => {
        await journal.put(each);
        finished += 1;
      });
      // The first is alone in its transaction.
      await all[1];
      assert.ok(finished < 2000, String(finished));
      assert.ok((await idsOf(journal)).length > 0);
      await Promise.all(all);
      assert.equal((await idsOf(journal, [], id(19_999), 1000)).length, 2000);
    });
    it('forgets what is to go, wherever its change still waits', async () => {
      const waiting = [...puts(30_000, 500), record(40_000)].map((each) => journal.put(each));
      journal.forget(id(40_000));
      await Promise.all(waiting);
      await until(async () => (await journal.get(id(40_000))) === undefined);
      await journal.close();
      ({ journal } = await openJournal(folder));
      assert.equal(await journal.get(id(40_000)), undefined);
      assert.deepEqual(await journal.get(id(30_499)), done(30_499));
    });
  });
});
