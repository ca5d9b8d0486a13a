/**
 * What operations are found by is damaged: it is made again from their records, and an operator
 * hears of it.
 */
import assert from 'node:assert/strict';
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { JournalFile } from '../../../src/adapters/journal/journal-file.js';
import { openJournal as openFile } from '../../../src/adapters/journal/opening.js';
import { requestText, traitText } from '../../../src/adapters/journal/traits.js';
import { troubleOf } from '../../../src/adapters/journal/trouble.js';
import { WriteCountFile } from '../../../src/adapters/journal/write-count-file.js';
import type { Journal, Trait } from '../../../src/domain/operations/journal.js';
import { ALL } from '../../../src/domain/operations/journal.js';
import { idsOf, openJournal } from '../../support/journals/journals.js';
import { done, id, record } from '../../support/journals/records.js';
import { scratchFolder } from '../../support/scratch.js';
import { until } from '../../support/until.js';

const RECORDS = 30;
const RUNNING = 4;
const requestId = (n: number) => `r${String(n)}`;
const key = (n: number) => ({ caller: 'someone', method: 'CopyImage', requestId: requestId(n) });
const traits: readonly Trait[] = [
  { kind: 'state', value: 'SUCCEEDED' },
  { kind: 'method', value: 'CopyImage' },
  { kind: 'caller', value: 'someone' },
  { kind: 'label', key: 'a', value: 'b' },
];

describe('what operations are found by', () => {
  const scratch = scratchFolder();
  let template = '';

  before(async () => {
    template = scratch.path('template');
    await mkdir(template);
    const { journal } = await openJournal(template);
    for (let n = 0; n < RECORDS; n++) {
      const more = { requestId: requestId(n), labels: { a: 'b' } };
      await journal.put(n < RUNNING ? record(n, more) : done(n, more));
    }
    await journal.close();
  });

  const lists = (file: JournalFile) => ({
    unfinished: file.unfinished().map((row) => row.key),
    requests: Array.from({ length: RECORDS }, (_, n) => file.request(requestText(key(n)))?.key),
    ...Object.fromEntries(
      traits.map((trait) => [
        trait.kind,
        file.search({ groups: [[traitText(trait)]], span: ALL, limit: 1000 }).rows.map((row) => row.key),
      ]),
    ),
  });

  it('a flipped bit anywhere takes nothing out of a list with no word said', () => {
    const folder = scratch.path('bits');
    const whole = readFileSync(join(template, 'journal.sqlite'));
    const look = (bytes: Buffer) => {
      rmSync(folder, { recursive: true, force: true });
      cpSync(template, folder, { recursive: true });
      writeFileSync(join(folder, 'journal.sqlite'), bytes);
      const countFile = new WriteCountFile(join(folder, 'journal.writes'));
      try {
        const { file, moved } = openFile(join(folder, 'journal.sqlite'), countFile, Date.now);
        const found = lists(file);
        file.verifyAll();
        file.database.close();
        return { found, said: moved !== undefined || file.found.length > 0 };
      } catch (error) {
        assert.ok(['foreign', 'damaged'].includes(troubleOf(error).kind), String(error));
        return undefined;
      } finally {
        countFile.close();
      }
    };
    const right = look(whole);
    assert.equal(right?.said, false);
    for (let at = 100; at < whole.length; at += 211) {
      const bytes = Buffer.from(whole);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8));
      const seen = look(bytes);
      if (seen?.said === false) assert.deepEqual(seen.found, right.found, `byte ${String(at)}`);
    }
  });

  const FINAL_ROW = RUNNING + 3;
  const CHANGES: [string, string, number][] = [
    ['an unfinished one counts as ended', 'UPDATE operations SET ended = 5 WHERE id = $id', 1],
    ['one that has ended counts as unfinished', 'UPDATE operations SET ended = NULL WHERE id = $id', FINAL_ROW],
    ['the time of an end is another one', 'UPDATE operations SET ended = ended + 64 WHERE id = $id', FINAL_ROW],
    ['the time of an end is no time', 'UPDATE operations SET ended = 0x7000000000000000 WHERE id = $id', FINAL_ROW],
    ['a request id is gone', 'UPDATE operations SET request = NULL WHERE id = $id', FINAL_ROW],
    ['a request id is another one', "UPDATE operations SET request = request || 'x' WHERE id = $id", 1],
    ['a request id is no text', "UPDATE operations SET request = x'ff00' WHERE id = $id", 1],
    ['all its traits are gone', 'DELETE FROM traits WHERE id = $id', FINAL_ROW],
    ['a label is gone', "DELETE FROM traits WHERE id = $id AND trait LIKE 'l%'", 1],
    ['a caller is another one', "UPDATE traits SET trait = 'csomebody' WHERE id = $id AND trait = 'csomeone'", 1],
  ];
  for (const [what, sql, n] of CHANGES)
    it(`${what}: it is made again, and somebody hears of it`, async () => {
      const folder = scratch.path(what.replaceAll(/\W/g, '-'));
      cpSync(template, folder, { recursive: true });
      const database = new DatabaseSync(join(folder, 'journal.sqlite'));
      database.prepare(sql).run({ id: id(n) });
      database.close();
      const { journal, heard } = await openJournal(folder);
      // Looked through in the background: the file's own facts agree with each other.
      await until(() => heard.length > 0);
      await until(() => isRight(journal));
      assert.equal(journal.incomplete, true);
      await journal.close();
      const again = await openJournal(folder);
      assert.ok(await isRight(again.journal));
      await again.journal.close();
    });

  it('what another version takes for final stays final', async () => {
    const folder = scratch.path('newer');
    await mkdir(folder);
    const first = await openJournal(folder);
    await first.journal.put({ ...record(1), ...{ state: 'FROZEN' } } as never);
    await first.journal.close();
    const path = join(folder, 'journal.sqlite');
    const database = new DatabaseSync(path);
    database.exec('UPDATE operations SET ended = 7');
    database.close();
    const { file } = openFile(path, new WriteCountFile(join(folder, 'journal.writes')), Date.now);
    file.verifyAll();
    assert.deepEqual([file.found, file.unfinished()], [[], []]);
    file.database.close();
  });
});

/** Each list holds what it should. */
async function isRight(journal: Journal): Promise<boolean> {
  const unfinished = (await journal.unfinished()).map((each) => each.id);
  const all = Array.from({ length: RECORDS }, (_, n) => id(n));
  const found = await Promise.all(all.map((_, n) => journal.findRequest(key(n))));
  const wanted = await Promise.all(traits.map((trait) => idsOf(journal, [[trait]])));
  const right = [
    all.slice(0, RUNNING),
    all,
    ...traits.map(({ kind }) => (kind === 'state' ? all.slice(RUNNING) : all)),
  ];
  return JSON.stringify([unfinished, found.map((each) => each?.id), ...wanted]) === JSON.stringify(right);
}
