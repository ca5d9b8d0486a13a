/** A start that cannot look at its files takes none of them for gone. */
import assert from 'node:assert/strict';
import { cpSync, existsSync, readdirSync } from 'node:fs';
import { rename, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { encode } from '../../../src/adapters/journal/rows.js';
import { JournalUnavailable } from '../../../src/adapters/journal/store.js';
import { troubleOf } from '../../../src/adapters/journal/trouble.js';
import { FaultFilesystem, type Fault } from '../../support/faults/fault-filesystem.js';
import { idsOf, makeJournal, openJournal, openedNow } from '../../support/journals/journals.js';
import { done, id } from '../../support/journals/records.js';
import { scratchFolder } from '../../support/scratch.js';

const RECORDS = 5;
const ALL = Array.from({ length: RECORDS }, (_, n) => id(n));

describe('a start that cannot look at its journal', () => {
  const scratch = scratchFolder();
  let template = '';

  before(async () => {
    template = scratch.path('template');
    await makeJournal(template, RECORDS);
  });

  /**
   * As the thread of the journal opens it; undefined where that fails, which must be for the disk.
   */
  const look = (folder: string) => {
    try {
      return openedNow(folder);
    } catch (error) {
      assert.equal(troubleOf(error).kind, 'failing', String(error));
      return undefined;
    }
  };

  const FAULTS: [string, Pick<Fault, 'errno' | 'times'>][] = [
    ['one look fails with EIO', { errno: 'EIO', times: 1 }],
    ['two looks fail with EIO', { errno: 'EIO', times: 2 }],
    ['three looks fail with EIO', { errno: 'EIO', times: 3 }],
    ['all looks fail with EIO', { errno: 'EIO', times: 0 }],
    ['all looks fail with EACCES', { errno: 'EACCES', times: 0 }],
    ['two looks fail with ESTALE', { errno: 'ESTALE', times: 2 }],
  ];
  for (const [what, fault] of FAULTS)
    it(`takes nothing for gone when ${what}, whichever they are`, async function () {
      const disk = await FaultFilesystem.mount(this, scratch, scratch.path(what.replaceAll(' ', '-')));
      for (let nth = 1; ; nth++) {
        const name = String(nth);
        const behind = join(disk.behind, name);
        cpSync(template, behind, { recursive: true });
        await disk.fail({ kinds: ['getattr'], ...fault, nth, match: '/journal.' });
        const opened = look(join(disk.path, name));
        const { failed } = await disk.seen();
        await disk.heal();
        const where = `look ${name} (${failed.join('; ')})`;
        assert.equal(opened?.moved, undefined, where);
        assert.deepEqual(
          readdirSync(behind).filter((each) => each.includes('broken')),
          [],
          where,
        );
        assert.deepEqual(look(behind), { ids: ALL, moved: undefined }, where);
        if (failed.length === 0) break;
      }
    });

  it('a journal that a link leads to is not gone when its place is', async () => {
    const folder = scratch.path('link');
    cpSync(template, folder, { recursive: true });
    const [file, elsewhere, mounted] = [join(folder, 'journal.sqlite'), scratch.path('away'), scratch.path('mounted')];
    await rename(file, elsewhere);
    await symlink(mounted, file);
    assert.equal(look(folder), undefined);
    await rename(elsewhere, mounted);
    assert.deepEqual(look(folder), { ids: ALL, moved: undefined });
  });

  it('a journal of the version before is taken over whole, whichever looks fail', async function () {
    const disk = await FaultFilesystem.mount(this, scratch, scratch.path('old'));
    const old = scratch.path('old-template');
    const level = new ClassicLevel(join(old, 'journal'));
    await level.put('meta!schema', '1');
    await level.put('meta!total', String(RECORDS));
    for (let n = 0; n < RECORDS; n++) await level.put(`op!${id(n)}`, `1\n${encode(done(n))}`);
    await level.close();
    for (let nth = 1; ; nth += 6) {
      const [behind, folder] = [join(disk.behind, String(nth)), join(disk.path, String(nth))];
      cpSync(old, behind, { recursive: true });
      await disk.fail({ kinds: ['getattr'], errno: 'EIO', nth, times: 6, match: `/${String(nth)}/journal.` });
      const opened = await openJournal(folder).catch((error: unknown) => {
        assert.ok(error instanceof JournalUnavailable, String(error));
        return undefined;
      });
      const { failed } = await disk.seen();
      await disk.heal();
      const where = `look ${String(nth)} (${failed.join('; ')})`;
      assert.equal(opened?.journal.incomplete ?? false, false, `${where}: ${JSON.stringify(opened?.heard)}`);
      await opened?.journal.close();
      const { journal } = await openJournal(behind);
      assert.deepEqual([await idsOf(journal), journal.incomplete], [ALL, false], where);
      await journal.close();
      assert.ok(existsSync(join(behind, 'journal.leveldb')), where);
      if (failed.length === 0) break;
    }
  });
});
