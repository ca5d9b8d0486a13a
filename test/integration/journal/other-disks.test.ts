/** Another filesystem comes to lie where the journal was: it is not taken for the journal. */
import assert from 'node:assert/strict';
import { cp, mkdir, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { JournalUnavailable } from '../../../src/adapters/journal/store.js';
import { idsOf, makeJournal, openJournal, type TestJournal } from '../../support/journals/journals.js';
import { isRoot, needs } from '../../support/needs.js';
import { done, id } from '../../support/journals/records.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { until } from '../../support/until.js';

/** Retries that must not have changed anyone's mind. */
const RETRIES = 5;

describe('a journal whose filesystem is another one suddenly', () => {
  const scratch = scratchFolder();

  const OTHERS: [string, (folder: string, yesterday: string) => Promise<unknown>, RegExp][] = [
    ["has yesterday's copy", (folder, yesterday) => cp(yesterday, folder, { recursive: true }), /is an older one/],
    ['is empty', () => Promise.resolve(), /ENOENT/],
    ['has an empty file', (folder) => writeFile(join(folder, 'journal.sqlite'), ''), /no journal of Hostler/],
    ['has a folder there', (folder) => mkdir(join(folder, 'journal.sqlite')), /./],
    ["has somebody else's database", (folder) => makeOther(join(folder, 'journal.sqlite')), /no journal of Hostler/],
  ];
  for (const [what, fill, says] of OTHERS)
    it(`${what}: changes are refused until the right one is back, and nothing is missing`, async function () {
      needs(this, isRoot, 'mounts small filesystems');
      const name = what.replaceAll(/[^a-z]/g, '-');
      const [folder, yesterday] = [scratch.path(name), scratch.path(`${name}-yesterday`)];
      await mkdir(folder);
      const mount = () => sh('mount', '-t', 'tmpfs', '-o', 'size=3m', 'none', folder);
      await mount();
      scratch.onEnd(() => sh('umount', folder));
      const first = await openJournal(folder);
      await first.journal.put(done(0));
      await first.journal.close();
      await cp(folder, yesterday, { recursive: true });
      const test = await openJournal(folder);
      const { journal, heard } = test;
      const refused = await fillUp(test, folder);
      await mount();
      await fill(folder, yesterday);
      await until(() => says.test(whyOf(test)));
      for (let n = 0; n < RETRIES; n++) await assert.rejects(journal.assertWritable(), says);
      await assert.rejects(journal.put(done(900)), says);
      assert.equal(journal.writable, false);
      const all = [...Array.from({ length: refused + 1 }, (_, n) => id(n)), id(900)];
      assert.deepEqual(await idsOf(journal), all, 'reads go on');
      await sh('umount', folder);
      await unlink(join(folder, 'filler'));
      await until(() => journal.writable);
      assert.deepEqual([await idsOf(journal), journal.incomplete], [all, false], JSON.stringify(heard));
      await journal.close();
      const again = await openJournal(folder);
      assert.deepEqual([await idsOf(again.journal), again.heard], [all, []]);
      await again.journal.close();
    });
});

describe('a journal whose files go while it is open', () => {
  const scratch = scratchFolder();

  const AWAY: [string, (folder: string) => Promise<unknown>, (folder: string) => Promise<unknown>][] = [
    [
      'the folder is renamed',
      (folder) => rename(folder, `${folder}.away`),
      (folder) => rename(`${folder}.away`, folder),
    ],
    [
      'the file is renamed',
      (folder) => rename(join(folder, 'journal.sqlite'), join(folder, 'away')),
      (folder) => rename(join(folder, 'away'), join(folder, 'journal.sqlite')),
    ],
    [
      'another filesystem is mounted over the folder',
      (folder) => sh('mount', '-t', 'tmpfs', 'none', folder),
      (folder) => sh('umount', folder),
    ],
  ];
  for (const [what, away, back] of AWAY)
    it(`${what}: changes are refused at once, reads go on, and nothing is missing when it is back`, async function () {
      needs(this, isRoot, 'mounts small filesystems');
      const folder = scratch.path(what.replaceAll(' ', '-'));
      await mkdir(folder);
      const { journal, heard } = await openJournal(folder);
      await journal.put(done(0));
      await away(folder);
      const refused = await journal.put(done(1)).catch((error: unknown) => error);
      assert.match(String(refused), /journal\.sqlite is (not there any more \(ENOENT\); put it back|another file)/);
      assert.deepEqual(await idsOf(journal), [id(0), id(1)], 'reads go on');
      for (let n = 0; n < RETRIES; n++) await assert.rejects(journal.assertWritable(), { reason: 'STATE_UNAVAILABLE' });
      await back(folder);
      await until(() => Promise.resolve(journal.writable));
      await journal.put(done(2));
      await journal.close();
      const again = await openJournal(folder);
      assert.deepEqual([await idsOf(again.journal), again.heard], [[0, 1, 2].map(id), []], JSON.stringify(heard));
      await again.journal.close();
    });

  for (const [what, change] of [
    ['is removed', (log: string) => unlink(log)],
    ['is replaced', (log: string) => rename(log, `${log}.away`).then(() => writeFile(log, 'x'.repeat(5000)))],
    ['is emptied by name', (log: string) => rename(log, `${log}.away`).then(() => writeFile(log, ''))],
  ] as const)
    it(`its log ${what}: what was in it is in the file, and nothing is missing after a kill`, async () => {
      const folder = scratch.path(`log-${what.replaceAll(' ', '-')}`);
      await mkdir(folder);
      const { journal } = await openJournal(folder);
      await journal.put(done(0));
      await change(join(folder, 'journal.sqlite-wal'));
      await assert.rejects(journal.put(done(1)), { reason: 'STATE_UNAVAILABLE' });
      await until(() => Promise.resolve(journal.writable));
      await journal.put(done(2));
      // As a kill leaves it: the copy is of what lies in the folder, while the journal is open.
      await cp(folder, `${folder}.killed`, { recursive: true });
      await journal.close();
      for (const at of [`${folder}.killed`, folder]) {
        const again = await openJournal(at);
        assert.deepEqual([await idsOf(again.journal), again.heard], [[0, 1, 2].map(id), []]);
        await again.journal.close();
      }
    });

  for (const [what, make, says] of [
    ['a folder', (log: string) => mkdir(log), 'it is a folder (EISDIR)'],
    ['a link to itself', (log: string) => symlink(log, log), '(ELOOP)'],
    ['a link through a file', (log: string) => symlink('/dev/null/x', log), '(ENOTDIR)'],
  ] as const)
    it(`its log is ${what} at the start: that is said with its name, and nothing is moved`, async () => {
      const folder = scratch.path(`start-${what.replaceAll(' ', '-')}`);
      await makeJournal(folder, 3);
      const log = join(folder, 'journal.sqlite-wal');
      await rm(log, { force: true });
      await make(log);
      await assert.rejects(openJournal(folder), (error: Error) => {
        assert.ok(error instanceof JournalUnavailable);
        assert.ok(error.message.includes(`${log}: `) && error.message.includes(says), error.message);
        return true;
      });
      await rm(log, { recursive: true });
      const { journal, heard } = await openJournal(folder);
      assert.deepEqual([await idsOf(journal), heard], [[0, 1, 2].map(id), []]);
      await journal.close();
    });
});

/** Puts until the disk is full; the number of the first that was refused. */
async function fillUp({ journal }: TestJournal, folder: string): Promise<number> {
  await writeFile(join(folder, 'filler'), Buffer.alloc(2 << 20));
  for (let n = 1; ; n++) {
    const failed = await journal.put(done(n, { labels: { pad: 'x'.repeat(4000) } })).then(
      () => false,
      () => true,
    );
    if (failed) return n;
  }
}

/** What the operator heard last. */
function whyOf({ heard }: TestJournal): string {
  return String(heard.filter(({ what }) => what === 'state').at(-1)?.['why']);
}

function makeOther(path: string): Promise<void> {
  const other = new DatabaseSync(path);
  other.exec('CREATE TABLE t(x)');
  other.close();
  return Promise.resolve();
}
