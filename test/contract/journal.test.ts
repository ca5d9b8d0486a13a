/** What every journal must do, on the real one and on the fake that other tests use. */
import assert from 'node:assert/strict';
import { open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { JournalTooNew, LevelJournal } from '../../src/adapters/level-journal.js';
import type { Journal } from '../../src/domain/operations/journal.js';
import { MemoryJournal } from '../support/memory-journal.js';
import { done, id, record } from '../support/records.js';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';

const HOUR = 3600 * 1000;
async function ids(journal: Journal, after?: string): Promise<string[]> {
  const found: string[] = [];
  for await (const each of journal.list(after)) found.push(each.id);
  return found;
}

describe('journals', () => {
  const scratch = scratchFolder();
  let now = 3000;
  let broken: string[] = [];
  let made = 0;
  const fresh = async () => {
    const folder = scratch.path(`journal-${String(++made)}`);
    await sh('mkdir', folder);
    return folder;
  };
  const level = (folder: string, historyLimit = 1000) =>
    LevelJournal.open({
      folder,
      historyLimit,
      historyMs: 100 * HOUR,
      clock: () => now,
      onHistoryFailed: (error) => broken.push(String(error)),
      onBroken: (movedTo, why) => broken.push(`${movedTo}: ${why}`),
    });

  const kinds: [string, () => Promise<Journal & { close?: () => Promise<void> }>][] = [
    ['MemoryJournal', () => Promise.resolve(new MemoryJournal(1000))],
    ['LevelJournal', async () => level(await fresh())],
  ];
  for (const [name, create] of kinds) {
    describe(name, () => {
      it('gives back what was put, the latest of each', async () => {
        const journal = await create();
        await journal.put(record(1));
        await journal.put(record(1, { state: 'RUNNING', phase: 'COPYING' }));
        assert.deepEqual(await journal.get(id(1)), record(1, { state: 'RUNNING', phase: 'COPYING' }));
        assert.equal(await journal.get(id(2)), undefined);
        await journal.close?.();
      });
      it('lists in the order of ids, from after one', async () => {
        const journal = await create();
        await Promise.all([1, 2, 3, 4].map((n) => journal.put(record(n))));
        assert.deepEqual(await ids(journal), [1, 2, 3, 4].map(id));
        assert.deepEqual(await ids(journal, id(2)), [3, 4].map(id));
        await journal.close?.();
      });
      it('finds the latest operation under a request id, by caller and method', async () => {
        const journal = await create();
        await journal.put(done(1, { requestId: 'r' }));
        await journal.put(record(2, { requestId: 'r', attempt: 2 }));
        const key = { caller: 'someone', method: 'CopyImage', requestId: 'r' };
        assert.equal((await journal.findRequest(key))?.id, id(2));
        assert.equal(await journal.findRequest({ ...key, method: 'DeleteImage' }), undefined);
        assert.equal(await journal.findRequest({ ...key, caller: 'other' }), undefined);
        await journal.close?.();
      });
      it('knows what is unfinished', async () => {
        const journal = await create();
        await journal.put(record(1));
        await journal.put(record(2));
        await journal.put(done(1));
        assert.deepEqual(
          (await journal.unfinished()).map((each) => each.id),
          [id(2)],
        );
        await journal.close?.();
      });
    });
  }

  describe('LevelJournal on disk', () => {
    beforeEach(() => {
      broken = [];
    });

    it('keeps everything over a restart', async () => {
      const folder = await fresh();
      const first = await level(folder);
      await Promise.all(Array.from({ length: 200 }, (_, n) => first.put(n % 3 === 0 ? record(n) : done(n))));
      await first.put(done(0));
      await first.close();
      const second = await level(folder);
      assert.equal((await ids(second)).length, 200);
      assert.deepEqual(await second.get(id(5)), done(5));
      assert.equal((await second.unfinished()).length, 66);
      await second.close();
      assert.deepEqual(broken, []);
    });

    it('a lost tail is noticed: the journal is moved aside and said so', async () => {
      const folder = await fresh();
      const journal = await level(folder);
      for (let n = 0; n < 20; n++) await journal.put(record(n));
      await journal.close();
      const log = (await readdir(join(folder, 'journal'))).find((name) => name.endsWith('.log')) ?? '';
      const file = await open(join(folder, 'journal', log), 'r+');
      const { size } = await file.stat();
      const bytes = Buffer.alloc(2);
      await file.read(bytes, 0, 2, Math.floor(size / 2));
      await file.write(Buffer.from(bytes.map((byte) => byte ^ 0xff)), 0, 2, Math.floor(size / 2));
      await file.close();
      const next = await level(folder);
      assert.equal(broken.length, 1);
      assert.match(broken[0] ?? '', /journal\.broken-.*records were written/);
      assert.deepEqual(await ids(next), []);
      await next.put(record(1));
      await next.close();
      assert.equal((await readdir(folder)).filter((name) => name.startsWith('journal.broken-')).length, 1);
    });

    it('an unreadable journal is moved aside', async () => {
      const folder = await fresh();
      await (await level(folder)).close();
      const manifest = (await readdir(join(folder, 'journal'))).find((name) => name.startsWith('MANIFEST')) ?? '';
      await sh('sh', '-c', 'echo rubbish >"$1"', 'sh', join(folder, 'journal', manifest));
      await (await level(folder)).close();
      assert.equal(broken.length, 1);
    });

    it('a journal of a newer version is refused, and left as it is', async () => {
      const folder = await fresh();
      await (await level(folder)).close();
      const raw = new ClassicLevel(join(folder, 'journal'));
      await raw.put('meta!schema', '2');
      await raw.close();
      await assert.rejects(level(folder), JournalTooNew);
      assert.deepEqual(broken, []);
    });

    it('forgets what is too old or too much, never an unfinished one or a young request id', async () => {
      const folder = await fresh();
      const journal = await level(folder, 10);
      await journal.put(record(0));
      await journal.put(done(1, { requestId: 'young', endTime: now }));
      for (let n = 2; n < 40; n++) await journal.put(done(n, { endTime: now }));
      const left = await ids(journal);
      assert.ok(left.length <= 20, String(left.length));
      assert.deepEqual(left.slice(0, 2), [id(0), id(1)]);
      now += 101 * HOUR;
      for (let n = 40; n < 52; n++) await journal.put(done(n, { endTime: now }));
      assert.ok(!(await ids(journal)).includes(id(1)));
      assert.equal(
        await journal.findRequest({ caller: 'someone', method: 'CopyImage', requestId: 'young' }),
        undefined,
      );
      await journal.close();
      await (await level(folder)).close();
      assert.deepEqual(broken, []);
    });

    it('holds no more than it was given: secrets are not part of a record', async () => {
      const folder = await fresh();
      const journal = await level(folder);
      await journal.put(record(1));
      await journal.close();
      const names = await readdir(join(folder, 'journal'));
      const all = await Promise.all(names.map((name) => readFile(join(folder, 'journal', name))));
      assert.ok(!Buffer.concat(all).includes('passphrase'));
    });
  });
});
