/**
 * A start that is ended while it moves a damaged journal aside: the next one has all that can be
 * read.
 */
import assert from 'node:assert/strict';
import { cpSync, readFileSync, readdirSync, renameSync, rmSync, copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { connect, openJournal as openFile } from '../../../src/adapters/journal/opening.js';
import { troubleOf } from '../../../src/adapters/journal/trouble.js';
import { WriteCountFile } from '../../../src/adapters/journal/write-count-file.js';
import { FaultFilesystem } from '../../support/faults/fault-filesystem.js';
import { idsOf, makeJournal, openJournal, openedNow } from '../../support/journals/journals.js';
import { done, id } from '../../support/journals/records.js';
import { scratchFolder } from '../../support/scratch.js';

const RECORDS = 40;
const ALL = Array.from({ length: RECORDS }, (_, n) => id(n));

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

describe('a journal that is moved aside', () => {
  const scratch = scratchFolder();
  let template = '';

  before(async () => {
    template = scratch.path('template');
    await makeJournal(template, RECORDS);
  });

  /** Damage that costs no record: an end that is lost, of what was never there. */
  const damage = (folder: string) => {
    const countFile = new WriteCountFile(join(folder, 'journal.writes'));
    countFile.write(1000);
    countFile.close();
  };

  for (const kinds of [['rename'], ['unlink'], ['fsyncdir', 'fsync'], ['create'], ['write']] as const)
    it(`all is there after a start that ended at its n-th ${kinds.join(' or ')}`, async function () {
      const disk = await FaultFilesystem.mount(this, scratch, scratch.path(kinds.join('-')));
      for (let nth = 1; ; nth += kinds[0] === 'write' ? 9 : 1) {
        const name = String(nth);
        const behind = join(disk.behind, name);
        cpSync(template, behind, { recursive: true });
        damage(behind);
        // All calls of the kind from there on: as a disk that goes away, or a kill.
        await disk.fail({ kinds, errno: 'EIO', nth, times: 0, match: `/${name}/` });
        let first: ReturnType<typeof openedNow> | undefined;
        try {
          first = openedNow(join(disk.path, name));
        } catch (error) {
          assert.equal(troubleOf(error).kind, 'failing', String(error));
        }
        const { failed } = await disk.seen();
        await disk.heal();
        const where = `${failed[0] ?? 'none'}: ${readdirSync(behind).join(' ')}`;
        const second = openedNow(behind);
        assert.deepEqual(second.ids, ALL, where);
        assert.ok(first?.moved !== undefined || second.moved !== undefined, where);
        assert.ok(
          readdirSync(behind).some((each) => /^journal.sqlite.broken-[^-]*-[^-]*-[^-]*$/.test(each)),
          where,
        );
        if (failed.length === 0) break;
      }
    });

  it('what was salvaged is not taken for rubbish where the damaged file has its new name already', async () => {
    const folder = scratch.path('between');
    cpSync(template, folder, { recursive: true });
    const path = join(folder, 'journal.sqlite');
    copyFileSync(path, `${path}.new`);
    renameSync(path, `${path}.broken-2026-11-28T210226.232Z`);
    const { journal, heard } = await openJournal(folder);
    assert.deepEqual([await idsOf(journal), journal.incomplete], [ALL, true]);
    assert.deepEqual(
      heard.map(({ what, movedTo }) => [what, movedTo]),
      [['moved', `${path}.broken-2026-11-28T210226.232Z`]],
    );
    await journal.close();
  });

  for (const [what, bytes] of [
    ['empty', () => Buffer.alloc(0)],
    ['cut', (whole: Buffer) => whole.subarray(0, 9000)],
    ['rubbish', () => Buffer.alloc(9000, 'x')],
  ] as const)
    it(`a new one that is ${what} is not believed`, async () => {
      const folder = scratch.path(`new-${what}`);
      cpSync(template, folder, { recursive: true });
      const path = join(folder, 'journal.sqlite');
      writeFileSync(`${path}.new`, bytes(readFileSync(path)));
      renameSync(path, `${path}.broken-2026-11-28T210226.232Z`);
      const { journal } = await openJournal(folder);
      assert.equal(journal.incomplete, true);
      await journal.put(done(900));
      await journal.close();
      assert.ok(readdirSync(folder).includes('journal.sqlite.broken-2026-11-28T210226.232Z'));
    });

  it('each start hears of it until what it means is settled', async () => {
    const folder = scratch.path('settled');
    cpSync(template, folder, { recursive: true });
    damage(folder);
    const movedTo: unknown[] = [];
    for (let n = 0; n < 3; n++) {
      const { journal, heard } = await openJournal(folder);
      assert.deepEqual([journal.incomplete, heard.map(({ what }) => what)], [true, ['moved']], String(n));
      movedTo.push(heard[0]?.['movedTo']);
      if (n === 2) await journal.settled();
      await journal.close();
    }
    assert.equal(new Set(movedTo).size, 1);
    const { journal, heard } = await openJournal(folder);
    assert.deepEqual([await idsOf(journal), journal.incomplete, heard], [ALL, false, []]);
    await journal.close();
  });

  for (const [what, from, to] of [
    ['a page of no size', 16, 18],
    ['an unknown name of the format', 0, 15],
    ['a schema that is no tree', 100, 101],
    ['rubbish in its first page', 0, 4096],
  ] as const)
    it(`its log goes aside as it is: ${what}`, () => {
      const [folder, open] = [scratch.path(`log-${String(from)}-${String(to)}`), scratch.path('open')];
      cpSync(template, open, { recursive: true });
      const path = join(folder, 'journal.sqlite');
      const database = connect(join(open, 'journal.sqlite'));
      database.exec("INSERT INTO meta VALUES ('more', '1')");
      cpSync(open, folder, { recursive: true });
      database.close();
      rmSync(open, { recursive: true });
      const bytes = readFileSync(path).fill('x', from, to);
      writeFileSync(path, bytes);
      const log = readFileSync(`${path}-wal`);
      assert.ok(log.length > 0);
      const countFile = new WriteCountFile(join(folder, 'journal.writes'));
      // A database that nobody holds is closed when garbage is collected, and its log removed.
      const clock = () => {
        collectGarbage();
        return Date.now();
      };
      const { file, moved } = openFile(path, countFile, clock);
      file.database.close();
      countFile.close();
      assert.ok(moved !== undefined);
      assert.deepEqual(readFileSync(`${moved.movedTo}-wal`), log);
    });

  it('one that is being made beside a journal that works is not taken for it', async () => {
    const folder = scratch.path('beside');
    cpSync(template, folder, { recursive: true });
    writeFileSync(join(folder, 'journal.sqlite.new'), 'what a salvage began with');
    const { journal, heard } = await openJournal(folder);
    assert.deepEqual([await idsOf(journal), heard], [ALL, []]);
    await journal.close();
  });
});
