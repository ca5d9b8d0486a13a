/** What every journal must do, on the real one and on the fake that other tests use. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { ClassicLevel } from 'classic-level';
import { JournalUnavailable } from '../../src/adapters/journal/store.js';
import { asAddress } from '../../src/domain/model/address.js';
import { ALL, type Journal, type Trait } from '../../src/domain/operations/journal.js';
import type { Commit } from '../../src/domain/operations/record.js';
import { idsOf, openJournal } from '../support/journals/journals.js';
import { MemoryJournal } from '../support/journals/memory-journal.js';
import { done, id, record } from '../support/journals/records.js';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';
import { until } from '../support/until.js';

const HOUR = 3600 * 1000;
const state = (value: string): Trait => ({ kind: 'state', value });
const method = (value: string): Trait => ({ kind: 'method', value });
const caller = (value: string): Trait => ({ kind: 'caller', value });
const label = (key: string, value: string): Trait => ({ kind: 'label', key, value });

describe('journals', () => {
  const scratch = scratchFolder();
  let made = 0;
  const fresh = async () => {
    const folder = scratch.path(`journal-${String(++made)}`);
    await sh('mkdir', folder);
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

      it('gives back what was put, the latest of each', async () => {
        await journal.put(record(1));
        await journal.put(record(1, { state: 'RUNNING', phase: 'COPYING' }));
        assert.deepEqual(await journal.get(id(1)), record(1, { state: 'RUNNING', phase: 'COPYING' }));
        assert.equal(await journal.get(id(2)), undefined);
      });
      it('has a record that may come soon, also when no other write follows', async () => {
        await journal.putSoon(record(1));
        assert.deepEqual(await journal.get(id(1)), record(1));
        const soon = journal.putSoon(record(1, { state: 'RUNNING' }));
        await journal.put(done(1));
        await soon;
        assert.deepEqual(await journal.get(id(1)), done(1));
      });
      it('lists in the order of ids, from after one, whatever the order in which they came', async () => {
        await Promise.all([3, 1, 4, 2].map((n) => journal.put(record(n))));
        assert.deepEqual(await idsOf(journal), [1, 2, 3, 4].map(id));
        assert.deepEqual(await idsOf(journal, [], id(2)), [3, 4].map(id));
        assert.deepEqual(await idsOf(journal, [], '', 1), [1, 2, 3, 4].map(id));
      });
      it('finds by state, method, caller and labels, and by all of them at once', async () => {
        const labels = { a: '1', 'b\n"': 'x'.repeat(500) };
        await journal.put(done(1, { labels }));
        await journal.put(done(2, { labels: { a: '1' }, method: 'DeleteImage' }));
        await journal.put(done(3, { labels: { a: '2' }, state: 'FAILED' }));
        await journal.put(done(4, { labels, caller: 'other' }));
        const found = (...wanted: Trait[][]) => idsOf(journal, wanted, '', 2);
        assert.deepEqual(await found([state('SUCCEEDED')]), [1, 2, 4].map(id));
        assert.deepEqual(await found([state('FAILED'), state('CANCELLED')]), [id(3)]);
        assert.deepEqual(await found([method('DeleteImage'), method('Nothing')]), [id(2)]);
        assert.deepEqual(await found([caller('other')]), [id(4)]);
        assert.deepEqual(await found([label('a', '1')], [label('b\n"', 'x'.repeat(500))]), [1, 4].map(id));
        assert.deepEqual(await found([label('a', '1')], [caller('someone')], [state('SUCCEEDED')]), [1, 2].map(id));
        assert.deepEqual(await found([label('a', '1')], [state('FAILED')]), []);
        assert.deepEqual(await found([label('a', '3')]), []);
      });
      it('a state that ends takes the place of the one before', async () => {
        await journal.put(record(1, { state: 'RUNNING' }));
        assert.deepEqual(await idsOf(journal, [[state('RUNNING')]]), [id(1)]);
        await journal.put(done(1));
        assert.deepEqual(await idsOf(journal, [[state('RUNNING')]]), []);
        assert.deepEqual(await idsOf(journal, [[state('SUCCEEDED')]]), [id(1)]);
      });
      it('finds the latest operation under a request id, by caller and method', async () => {
        await journal.put(done(1, { requestId: 'r' }));
        await journal.put(record(2, { requestId: 'r', attempt: 2 }));
        const key = { caller: 'someone', method: 'CopyImage', requestId: 'r' };
        assert.equal((await journal.findRequest(key))?.id, id(2));
        assert.equal(await journal.findRequest({ ...key, method: 'DeleteImage' }), undefined);
        assert.equal(await journal.findRequest({ ...key, caller: 'other' }), undefined);
      });
      it('finds the latest operation that made a file, once it has succeeded', async () => {
        const commit = (inode: bigint): Commit => ({
          address: asAddress('/images/a'),
          made: { device: 7n, inode },
          result: { kind: 'touch', existed: false },
        });
        const labels = { a: '\u0000n1', '\u0000b': 'c' };
        await journal.put(record(1));
        await journal.put(done(1, { commit: commit(1n), labels }));
        await journal.put(done(2, { commit: commit(2n) }));
        await journal.put(done(3, { commit: commit(2n), caller: 'other' }));
        await journal.put(done(4, { commit: commit(3n), state: 'FAILED' }));
        await journal.put(record(5, { commit: commit(4n) }));
        const found = await journal.makersOf([1n, 2n, 3n, 4n, 5n].map((inode) => ({ device: 7n, inode })));
        assert.deepEqual(found.map((each) => [each.id, each.made.inode, each.caller, each.labels]).sort(), [
          [id(1), 1n, 'someone', labels],
          [id(3), 2n, 'other', done(3).labels],
        ]);
        assert.deepEqual(found[0]?.addresses, done(1).addresses);
        assert.equal(found[0].endTime, done(1).endTime);
        assert.deepEqual(await journal.makersOf([{ device: 8n, inode: 1n }]), []);
        assert.deepEqual(await journal.makersOf([]), []);
      });
      it('knows what is unfinished', async () => {
        await journal.put(record(1));
        await journal.put(record(2));
        await journal.put(done(1));
        assert.deepEqual(
          (await journal.unfinished()).map((each) => each.id),
          [id(2)],
        );
      });
      it('forgets what was refused', async () => {
        await journal.put(record(1, { requestId: 'r' }));
        journal.forget(id(1));
        assert.equal(await journal.get(id(1)), undefined);
        assert.deepEqual(await journal.unfinished(), []);
        assert.equal(await journal.findRequest({ caller: 'someone', method: 'CopyImage', requestId: 'r' }), undefined);
      });
    });
  }

  describe('JournalStore on disk', () => {
    it('keeps everything over a restart', async () => {
      const folder = await fresh();
      const { journal: first } = await openJournal(folder);
      await Promise.all(Array.from({ length: 200 }, (_, n) => first.put(n % 3 === 0 ? record(n) : done(n))));
      await first.put(done(0));
      await first.close();
      const { journal: second, heard } = await openJournal(folder);
      assert.equal((await idsOf(second)).length, 200);
      assert.deepEqual(await second.get(id(5)), done(5));
      assert.equal((await second.unfinished()).length, 66);
      assert.deepEqual(heard, []);
      assert.equal(second.incomplete, false);
      await second.close();
    });

    for (const schema of ['2', '0', 'x', '', '01', '1 ', '-1']) {
      it(`a journal of schema '${schema}' is refused, and left as it is`, async () => {
        const folder = await fresh();
        await (await openJournal(folder)).journal.close();
        const raw = new DatabaseSync(join(folder, 'journal.sqlite'));
        raw.prepare("UPDATE meta SET value = ? WHERE key = 'schema'").run(schema);
        raw.close();
        await assert.rejects(openJournal(folder), (error: Error) => {
          assert.ok(error instanceof JournalUnavailable, String(error));
          assert.ok(error.message.includes(`${folder}/journal.sqlite has schema "${schema}"`), error.message);
          return true;
        });
        assert.deepEqual(
          (await readdir(folder)).filter((each) => each.includes('broken')),
          [],
        );
      });
    }

    it('another database is refused, and left as it is', async () => {
      const folder = await fresh();
      const raw = new DatabaseSync(join(folder, 'journal.sqlite'));
      raw.exec('CREATE TABLE t(x)');
      raw.close();
      await assert.rejects(openJournal(folder), /no journal of Hostler/);
    });

    it('forgets what is too old or too much, never an unfinished one or a young request id', async () => {
      const folder = await fresh();
      let now = 3000 * HOUR;
      const options = { limits: { operations: 10, ms: 100 * HOUR }, clock: () => now };
      const { journal } = await openJournal(folder, options);
      await journal.put(record(0));
      await journal.put(done(1, { requestId: 'young', endTime: now }));
      for (let n = 2; n < 40; n++) await journal.put(done(n, { endTime: now }));
      await until(async () => (await idsOf(journal)).length === 10);
      assert.deepEqual((await idsOf(journal)).slice(0, 2), [id(0), id(1)]);
      assert.deepEqual((await idsOf(journal, [[state('SUCCEEDED')]])).length, 9);
      now += 101 * HOUR;
      await journal.put(done(52, { endTime: now }));
      await until(async () => (await idsOf(journal)).length === 2);
      const key = { caller: 'someone', method: 'CopyImage', requestId: 'young' };
      assert.equal(await journal.findRequest(key), undefined);
      await journal.close();
    });

    it('forgets young request ids of a caller who has too many, the oldest first, and nobody else’s', async () => {
      const { journal } = await openJournal(await fresh(), { limits: { operations: 5, ms: 1e15 } });
      const now = Date.now();
      for (const [n, name] of ['b"usy', 'b', 'b"', 'c'].entries())
        for (let of = 0; of < 4; of++) {
          const requestId = `r${String(of)}`;
          await journal.put(done(n * 4 + of, { caller: name, requestId, endTime: now }));
        }
      await journal.put(record(20, { caller: 'b"', requestId: 'unfinished' }));
      for (let of = 4; of < 30; of++)
        await journal.put(done(30 + of, { caller: 'b"', requestId: `r${String(of)}`, endTime: now }));
      await until(async () => (await idsOf(journal, [[caller('b"')]])).length === 6);
      assert.deepEqual(
        await idsOf(journal, [[caller('b"')]]),
        [20, 55, 56, 57, 58, 59].map((n) => id(n)),
      );
      for (const name of ['b"usy', 'b', 'c']) assert.equal((await idsOf(journal, [[caller(name)]])).length, 4, name);
      await journal.close();
    });

    it('a page goes on behind the one it ended with, also when that was forgotten', async () => {
      const { journal } = await openJournal(await fresh(), { limits: { operations: 5, ms: 1e15 } });
      for (let n = 0; n < 5; n++) await journal.put(done(n));
      const { reached = '' } = await journal.page([], ALL, 2);
      assert.equal(reached, id(1));
      for (let n = 5; n < 8; n++) await journal.put(done(n));
      await until(async () => (await journal.get(id(2))) === undefined);
      assert.deepEqual(await idsOf(journal, [], reached), [3, 4, 5, 6, 7].map(id));
      await journal.close();
    });

    it('holds no more than it was given: secrets are not part of a record', async () => {
      const folder = await fresh();
      const { journal } = await openJournal(folder);
      await journal.put(record(1));
      await journal.close();
      const all = await Promise.all((await readdir(folder)).map((name) => readFile(join(folder, name))));
      assert.ok(!Buffer.concat(all).includes('passphrase'));
    });
  });

  describe('a record of another version', () => {
    const rewritten = async (change: Record<string, unknown>) => {
      const { journal, heard } = await openJournal(await fresh());
      // The port takes what this version knows; what another one wrote comes by the same door.
      await journal.put({ ...done(1), ...change });
      const found = await journal.get(id(1));
      const [unfinished, listed] = [await journal.unfinished(), await idsOf(journal)];
      await journal.close();
      return { found, unfinished, listed, heard };
    };
    for (const [what, change, shows] of [
      ['state', { state: 'FROZEN' }, { state: 'UNKNOWN' }],
      ['phase', { phase: 'TELEPORTING' }, { state: 'SUCCEEDED', phase: undefined }],
      ['result', { result: { kind: 'hologram', size: 5n } }, { state: 'SUCCEEDED', result: undefined }],
      ['progress', { progress: { doneBytes: 'many' } }, { progress: undefined }],
      ['warnings', { warnings: [{ reason: 'ODD', message: 'm' }] }, {}],
    ] as const) {
      it(`whose ${what} is unknown is shown, and says so`, async () => {
        const { found, unfinished, listed, heard } = await rewritten(change);
        for (const [name, value] of Object.entries(shows))
          assert.deepEqual((found as unknown as Record<string, unknown>)[name], value, name);
        assert.deepEqual(
          found?.warnings.map(({ reason, message }) => [reason, message.includes(what)]),
          [['NEWER_RECORD', true]],
        );
        assert.deepEqual(listed, [id(1)]);
        assert.deepEqual(unfinished, []);
        assert.deepEqual(heard, []);
      });
    }
    it('whose reason is unknown keeps it', async () => {
      for (const reason of ['TELEPORT_FAILED', 'constructor', '__proto__', '']) {
        const error = { reason, code: 'ABORTED', message: 'm', facts: { a: 'b' }, violations: [] };
        const { found } = await rewritten({ state: 'FAILED', error });
        assert.deepEqual(found?.error, error);
      }
    });
    it('that is unfinished in a way which is not known is nobody’s to end', async () => {
      for (const change of [
        { state: 'FROZEN' },
        { state: 'RUNNING', commit: { address: '/a', result: { kind: 'x' } } },
      ]) {
        const { found, unfinished } = await rewritten(change);
        assert.equal(found?.state, 'UNKNOWN');
        assert.deepEqual(unfinished, []);
      }
    });
    it('keeps the fields that only it knows', async () => {
      const { found } = await rewritten({ future: { x: 1n } });
      assert.deepEqual((found as unknown as Record<string, unknown>)['future'], { x: 1n });
    });
    it('is no record at all: it is left where it is, and named', async () => {
      const { found, listed, heard } = await rewritten({ createTime: 'yesterday' });
      assert.equal(found, undefined);
      assert.deepEqual(listed, []);
      assert.deepEqual(
        heard.map(({ what, key }) => [what, key]),
        [['setAside', id(1)]],
      );
    });
  });

  describe('the journal of an earlier version', () => {
    const text = (value: object) =>
      JSON.stringify(value, (_, field: unknown) =>
        typeof field === 'bigint'
          ? `\0n${String(field)}`
          : typeof field === 'string' && field.startsWith('\0')
            ? `\0s${field}`
            : field,
      );
    const old = async (change: (level: ClassicLevel) => Promise<unknown> = () => Promise.resolve()) => {
      const folder = await fresh();
      const level = new ClassicLevel(join(folder, 'journal'));
      await level.put('meta!schema', '1');
      await level.put('meta!total', '4');
      await level.put(`op!${id(1)}`, `3\n${text(done(1, { requestId: 'r' }))}`);
      await level.put(`op!${id(2)}`, `1\n${text(record(2))}`);
      await level.put(`live!${id(2)}`, '');
      const mark = { device: '5', inode: String(2n ** 60n), address: '/a', operationId: id(2), method: 'ResizeImage' };
      await level.put('touched!5:6', JSON.stringify(mark));
      const resume = {
        key: 'k',
        operationId: id(2),
        method: 'CopyImage',
        labels: {},
        address: '/b',
        checkpoint: { a: 'b' },
      };
      await level.put('resume!k', text({ ...resume, kept: { sinceMs: 5, bytes: 7n } }));
      await change(level);
      await level.close();
      return folder;
    };

    it('is taken over once, and kept', async () => {
      const folder = await old();
      const { journal, heard } = await openJournal(folder);
      assert.deepEqual(await journal.get(id(1)), done(1, { requestId: 'r' }));
      const key = { caller: 'someone', method: 'CopyImage', requestId: 'r' };
      assert.equal((await journal.findRequest(key))?.id, id(1));
      assert.deepEqual(await journal.unfinished(), [record(2)]);
      assert.equal((await journal.marks())[0]?.inode, 2n ** 60n);
      assert.equal((await journal.resumeEntries())[0]?.kept?.bytes, 7n);
      assert.equal(journal.incomplete, false);
      assert.deepEqual(
        heard.map(({ what, taken }) => [what, taken]),
        [['imported', { operation: 2, mark: 1, resume: 1, cached: 0 }]],
      );
      await journal.put(done(2));
      await journal.close();
      assert.ok(existsSync(join(folder, 'journal.leveldb')) && !existsSync(join(folder, 'journal')));
      const again = await openJournal(folder);
      assert.deepEqual([await again.journal.unfinished(), again.heard], [[], []]);
      await again.journal.close();
    });

    it('from which records are missing is taken over as it is, and nothing is believed to be whole', async () => {
      const { journal, heard } = await openJournal(await old((level) => level.put('meta!total', '9')));
      assert.equal((await idsOf(journal)).length, 2);
      assert.equal(journal.incomplete, true);
      assert.match(String(heard[0]?.['problem']), /9 records were written, 4 are there/);
      await journal.close();
    });

    it('a record that is no JSON is named, and the others are taken', async () => {
      const { journal, heard } = await openJournal(await old((level) => level.put(`op!${id(1)}`, '3\n{"id":')));
      assert.deepEqual(await idsOf(journal), [id(2)]);
      assert.equal(journal.incomplete, true);
      assert.deepEqual(
        heard.map(({ what }) => what),
        ['imported', 'setAside'],
      );
      await journal.close();
    });

    it('that cannot be opened for damage is kept aside', async () => {
      const folder = await old();
      const manifest = (await readdir(join(folder, 'journal'))).find((name) => name.startsWith('MANIFEST')) ?? '';
      await sh('sh', '-c', 'echo rubbish >"$1"', 'sh', join(folder, 'journal', manifest));
      const { journal } = await openJournal(folder);
      assert.equal(journal.incomplete, true);
      await journal.close();
      assert.ok(existsSync(join(folder, 'journal.leveldb', manifest)));
    });

    for (const schema of ['2', '0', 'x', '']) {
      it(`of schema '${schema}' is refused, and left as it is`, async () => {
        const folder = await old((level) => level.put('meta!schema', schema));
        await assert.rejects(openJournal(folder), JournalUnavailable);
        assert.ok(existsSync(join(folder, 'journal')));
      });
    }
  });
});
