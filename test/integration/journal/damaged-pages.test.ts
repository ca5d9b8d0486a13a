/**
 * Whatever is wrong with the file: it is moved aside and what can be read of it goes on, or nothing
 * was lost.
 */
import assert from 'node:assert/strict';
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { openJournal as openFile } from '../../../src/adapters/journal/opening.js';
import { parseRow, readOperation } from '../../../src/adapters/journal/records.js';
import { WriteCountFile } from '../../../src/adapters/journal/write-count-file.js';
import { asAddress } from '../../../src/domain/model/address.js';
import { ALL } from '../../../src/domain/operations/journal.js';
import { idsOf, openJournal } from '../../support/journals/journals.js';
import { done, id, record } from '../../support/journals/records.js';
import { scratchFolder } from '../../support/scratch.js';

const mark = { device: 1n, inode: 2n, address: asAddress('/a'), operationId: id(0), method: 'ResizeImage' };
const PAGE = 4096;
const RECORDS = 60;
const originals = new Map(
  Array.from({ length: RECORDS }, (_, n) => [id(n), n % 7 === 0 ? record(n) : done(n, { requestId: `r${String(n)}` })]),
);

describe('a journal whose pages or tables are damaged', () => {
  const scratch = scratchFolder();
  let template = '';
  let whole = Buffer.alloc(0);

  before(async () => {
    template = scratch.path('template');
    await mkdir(template);
    const { journal } = await openJournal(template);
    for (const each of originals.values()) await journal.put(each);
    await journal.close();
    whole = readFileSync(join(template, 'journal.sqlite'));
  });

  /**
   * Opens a copy that was changed; false where it was moved aside. Fails when something is missing
   * and nothing says so.
   */
  const opens = (what: string, change: (file: string) => void): boolean => {
    const folder = scratch.path('copy');
    rmSync(folder, { recursive: true, force: true });
    cpSync(template, folder, { recursive: true });
    change(join(folder, 'journal.sqlite'));
    const countFile = new WriteCountFile(join(folder, 'journal.writes'));
    try {
      const { file, moved } = openFile(join(folder, 'journal.sqlite'), countFile, Date.now);
      const { rows } = file.search({ groups: [], span: ALL, limit: 1000 });
      const found = new Map(rows.map((row) => [row.key, parseRow(row, readOperation)]));
      for (const [key, value] of found) assert.deepEqual(value, originals.get(key), what);
      const said = moved !== undefined || file.found.length > 0;
      assert.ok(found.size === RECORDS || said, `${what}: ${String(found.size)} are there, and nothing says so`);
      assert.ok(moved === undefined || existsSync(moved.movedTo), what);
      // It takes changes, each of them once.
      file.write([{ kind: 'operation', key: id(900), body: '{"state":"QUEUED"}' }]);
      file.database.close();
      return moved === undefined;
    } finally {
      countFile.close();
    }
  };
  const rewrite = (change: (bytes: Buffer) => void) => (file: string) => {
    const bytes = Buffer.from(whole);
    change(bytes);
    writeFileSync(file, bytes);
  };

  it('one page is written over its neighbour', () => {
    let moved = 0;
    for (let page = 1; page < whole.length / PAGE; page++)
      for (const to of [page - 1, page + 1].filter((each) => each > 0 && each < whole.length / PAGE)) {
        const copy = rewrite((bytes) => whole.copy(bytes, to * PAGE, page * PAGE, (page + 1) * PAGE));
        if (!opens(`page ${String(page)} over ${String(to)}`, copy)) moved += 1;
      }
    assert.ok(moved > 5, String(moved));
  });

  it('two pages changed places', () => {
    let moved = 0;
    for (let page = 1; page + 1 < whole.length / PAGE; page++) {
      const swap = rewrite((bytes) => {
        whole.copy(bytes, page * PAGE, (page + 1) * PAGE, (page + 2) * PAGE);
        whole.copy(bytes, (page + 1) * PAGE, page * PAGE, (page + 1) * PAGE);
      });
      if (!opens(`page ${String(page)}`, swap)) moved += 1;
    }
    assert.ok(moved > 3, String(moved));
  });

  it('a half of a page is of another one, as a torn write leaves it', () => {
    for (let page = 1; page + 1 < whole.length / PAGE; page++)
      opens(
        `half of page ${String(page)}`,
        rewrite((bytes) => whole.copy(bytes, page * PAGE + PAGE / 2, (page + 1) * PAGE + PAGE / 2, (page + 2) * PAGE)),
      );
  });

  const BY_HAND: [string, string][] = [
    ['a checksum that none is', 'UPDATE operations SET sum = 0x7000000000000000 WHERE rowid = 3'],
    ['no count of changes', "UPDATE meta SET value = 'x' WHERE key = 'writes'"],
    ['no row for the count of changes', "DELETE FROM meta WHERE key = 'writes'"],
    ['no table of traits', 'DROP TABLE traits'],
    ['no table of entries', 'DROP TABLE entries'],
    ['a body that is none', "UPDATE operations SET body = x'00ff' WHERE rowid = 3"],
  ];
  for (const [what, sql] of BY_HAND)
    it(`there is ${what}`, async () => {
      const folder = scratch.path(what.replaceAll(' ', '-'));
      cpSync(template, folder, { recursive: true });
      const database = new DatabaseSync(join(folder, 'journal.sqlite'));
      database.exec(sql);
      database.close();
      const { journal, heard } = await openJournal(folder);
      const ids = await idsOf(journal);
      assert.ok(ids.length >= RECORDS - 1, JSON.stringify(heard));
      await journal.put(done(900));
      await journal.putMark(mark);
      await journal.close();
      assert.equal(journal.incomplete, true, JSON.stringify(heard));
      const again = await openJournal(folder);
      assert.deepEqual(await idsOf(again.journal), [...ids, id(900)]);
      assert.equal((await again.journal.marks()).length, 1);
      await again.journal.close();
    });

  for (const table of ['meta', 'operations', 'traits', 'entries', 'aside'])
    it(`the text of the table ${table} cannot be read`, () => {
      const text = `CREATE TABLE ${table}(`;
      const isWhole = opens(
        table,
        rewrite((bytes) => bytes.write(text.replace('(', '['), bytes.indexOf(text))),
      );
      assert.equal(isWhole, false);
    });
});
