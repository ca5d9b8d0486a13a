/** In which orders every journal lists, and by what: on the real one and on the fake. */
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { endPlace } from '../../src/domain/operations/ends.js';
import { ALL, restOf, type Journal, type Span, type Trait } from '../../src/domain/operations/journal.js';
import type { OperationRecord } from '../../src/domain/operations/record.js';
import { idsOf, openJournal } from '../support/journals/journals.js';
import { MemoryJournal } from '../support/journals/memory-journal.js';
import { done, id, record } from '../support/journals/records.js';
import { scratchFolder } from '../support/scratch.js';
import { until } from '../support/until.js';

const state = (value: string): Trait => ({ kind: 'state', value });
const method = (value: string): Trait => ({ kind: 'method', value });

describe('lists of journals', () => {
  const scratch = scratchFolder();
  let made = 0;
  const fresh = async () => {
    const folder = scratch.path(`lists-${String(++made)}`);
    await mkdir(folder);
    return folder;
  };
  const kinds: [string, () => Promise<Journal & { close?: () => Promise<void> }>][] = [
    ['MemoryJournal', () => Promise.resolve(new MemoryJournal(1000))],
    ['JournalStore', async () => (await openJournal(await fresh())).journal],
  ];
  for (const [name, create] of kinds) {
    describe(name, () => {
      let journal: Journal & { close?: () => Promise<void> };
      beforeEach(async () => {
        journal = await create();
      });
      afterEach(() => journal.close?.());

      it('lists newest first, and between two ids, in both orders', async () => {
        await Promise.all([3, 1, 4, 2, 5].map((n) => journal.put(record(n))));
        for (const limit of [1, 2, 100]) {
          const found = (span: Partial<Span>) => idsOf(journal, [[method('CopyImage')]], span, limit);
          assert.deepEqual(await idsOf(journal, [], { newestFirst: true }, limit), [5, 4, 3, 2, 1].map(id));
          assert.deepEqual(await found({ newestFirst: true }), [5, 4, 3, 2, 1].map(id));
          assert.deepEqual(await found({ newestFirst: true, before: id(4) }), [3, 2, 1].map(id));
          assert.deepEqual(await found({ newestFirst: true, after: id(2) }), [5, 4, 3].map(id));
          assert.deepEqual(await found({ newestFirst: true, after: id(1), before: id(4) }), [3, 2].map(id));
          assert.deepEqual(await found({ after: id(1), before: id(4) }), [2, 3].map(id));
          for (const newestFirst of [false, true])
            assert.deepEqual(await found({ after: id(3), before: id(4), newestFirst }), []);
        }
      });
      it('finds failures by their reason, and requests by their id', async () => {
        const failed = (reason: string): Partial<OperationRecord> => ({
          state: 'FAILED',
          error: { reason, message: 'm', facts: {}, violations: [] },
        });
        await journal.put(done(1, { ...failed('NO_SPACE'), requestId: 'q' }));
        await journal.put(record(2, { requestId: 'q', method: 'DeleteImage' }));
        await journal.put(done(3, { ...failed('BUG'), requestId: '\0q' }));
        await journal.put(done(4));
        const reason = (value: string): Trait => ({ kind: 'reason', value });
        const requestId = (value: string): Trait => ({ kind: 'requestId', value });
        assert.deepEqual(await idsOf(journal, [[reason('NO_SPACE')]]), [id(1)]);
        assert.deepEqual(await idsOf(journal, [[reason('NO_SPACE'), reason('BUG')]], ''), [1, 3].map(id));
        assert.deepEqual(await idsOf(journal, [[requestId('q')]]), [1, 2].map(id));
        assert.deepEqual(await idsOf(journal, [[requestId('\0q')], [reason('BUG')]]), [id(3)]);
        await journal.put(done(2, { ...failed('BUG'), requestId: 'q', method: 'DeleteImage' }));
        assert.deepEqual(await idsOf(journal, [[reason('BUG')]], { newestFirst: true }), [3, 2].map(id));
      });
      it('lists what has ended behind one place and up to another, in the order of the places', async () => {
        const place = (n: number) => endPlace(journal.life, n);
        const ended = async (wanted: Trait[][], behind: string, upTo: string, limit: number) => {
          const ids: string[] = [];
          for (let at: string | undefined = behind; at !== undefined;) {
            const page: Awaited<ReturnType<Journal['ended']>> = await journal.ended(wanted, at, upTo, limit);
            ids.push(...(page?.records.map((each) => each.id) ?? ['too old']));
            at = page?.reached;
          }
          return ids;
        };
        await journal.put(done(1, { endPlace: place(3) }));
        await journal.put(record(2));
        await journal.put(done(3, { endPlace: place(1), method: 'DeleteImage' }));
        await journal.put(done(4, { endPlace: place(2) }));
        for (const limit of [1, 2, 100]) {
          assert.deepEqual(await ended([], place(0), place(9), limit), [3, 4, 1].map(id));
          assert.deepEqual(await ended([], place(1), place(9), limit), [4, 1].map(id));
          assert.deepEqual(await ended([], place(0), place(2), limit), [3, 4].map(id));
          assert.deepEqual(await ended([], place(3), place(3), limit), []);
          assert.deepEqual(await ended([[method('CopyImage')]], place(0), place(9), limit), [4, 1].map(id));
          assert.deepEqual(await ended([[state('RUNNING')]], place(0), place(9), limit), []);
        }
      });
    });
  }

  describe('JournalStore on disk', () => {
    it('pages of 10,000 operations, newest first, have each once while new ones come', async () => {
      const { journal } = await openJournal(await fresh());
      await Promise.all(Array.from({ length: 10_000 }, (_, n) => journal.put(done(n))));
      let span: Span = { ...ALL, newestFirst: true };
      const seen: string[] = [];
      for (let more = 10_000; ; more++) {
        const { records, reached } = await journal.page([[method('CopyImage')], [state('SUCCEEDED')]], span, 500);
        seen.push(...records.map((each) => each.id));
        if (reached === undefined) break;
        await journal.put(done(more));
        span = restOf(span, reached);
      }
      assert.deepEqual(
        seen,
        Array.from({ length: 10_000 }, (_, n) => id(9999 - n)),
      );
      await journal.close();
    });

    it('one that a version with fewer traits has written finds the same, and says nothing of it', async () => {
      const folder = await fresh();
      const { journal: first } = await openJournal(folder);
      const error = { reason: 'NO_SPACE', message: 'm', facts: {}, violations: [] };
      for (let n = 0; n < 250; n++) await first.put(done(n, { state: 'FAILED', error, requestId: 'q' }));
      await first.close();
      const raw = new DatabaseSync(join(folder, 'journal.sqlite'));
      raw.exec("DELETE FROM traits WHERE trait GLOB '[qr]*'; DELETE FROM meta WHERE key = 'indexed'");
      raw.close();
      const { journal: second, heard } = await openJournal(folder);
      assert.equal((await idsOf(second, [[{ kind: 'reason', value: 'NO_SPACE' }]])).length, 250);
      assert.equal((await idsOf(second, [[{ kind: 'requestId', value: 'q' }]])).length, 250);
      assert.deepEqual([heard, second.incomplete], [[], false]);
      await second.close();
    });

    it('the history of ends goes back to what was forgotten, also after a restart, and to no life before a loss', async () => {
      const folder = await fresh();
      const limits = { operations: 5, ms: 1e15 };
      const { journal } = await openJournal(folder, { limits });
      const place = (n: number) => endPlace(journal.life, n);
      for (let n = 1; n <= 9; n++) await journal.put(done(n, { endPlace: place(n) }));
      await until(async () => (await idsOf(journal)).length === 5);
      const known = async (from: Journal, n: number) =>
        (await from.ended([], place(n), place(99), 100))?.records.map((each) => each.id);
      assert.equal(await known(journal, 3), undefined);
      assert.deepEqual(await known(journal, 4), [5, 6, 7, 8, 9].map(id));
      await journal.close();
      const { journal: again } = await openJournal(folder, { limits });
      assert.ok(again.life > journal.life);
      assert.deepEqual([await known(again, 3), await known(again, 7)], [undefined, [8, 9].map(id)]);
      await again.close();
      const raw = new DatabaseSync(join(folder, 'journal.sqlite'));
      raw.exec('DROP TABLE entries');
      raw.close();
      const { journal: rebuilt } = await openJournal(folder, { limits });
      await rebuilt.marks();
      assert.ok(rebuilt.life > again.life);
      assert.equal(await known(rebuilt, 9), undefined);
      const now = endPlace(rebuilt.life, 0);
      await rebuilt.put(done(10, { endPlace: endPlace(rebuilt.life, 1) }));
      const page = await rebuilt.ended([], now, endPlace(rebuilt.life, 99), 100);
      assert.deepEqual(
        page?.records.map((each) => each.id),
        [id(10)],
      );
      await rebuilt.close();
    });
  });
});
