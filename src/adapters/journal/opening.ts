/** Opens the journal of a state folder. What is damaged is moved aside, and what can be read of it goes into a new one. */
import { copyFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { isThere, sizeOf } from '../../file-io/look.js';
import { JournalFile } from './journal-file.js';
import { salvage, type Salvaged } from './salvage.js';
import { BESIDE, assertOurs, create, isEmpty, JournalDamaged, settle } from './schema.js';
import { troubleOf } from './trouble.js';
import { syncFolderOf, type Witness } from './witness.js';

/** A file up to this size is looked through before anything is done with it, in about 50 ms; a larger one in the background. */
const LOOKED_THROUGH_BYTES = 16 << 20;

/** A journal that was moved aside. */
export interface MovedAside {
  readonly movedTo: string;
  readonly why: string;
  readonly salvaged: Salvaged;
}

export interface Opened {
  readonly file: JournalFile;
  readonly moved?: MovedAside;
}

/** Fails with JournalForeign, and with what SQLite or the system say. */
export function openJournal(path: string, witness: Witness, clock: () => number): Opened {
  let database: DatabaseSync | undefined;
  const known = witness.seen ?? 0;
  try {
    const size = sizeOf(path);
    if ((size ?? 0) === 0 && known > 0) {
      const what = size === undefined ? 'it has gone' : 'it is empty';
      throw new JournalDamaged(`${String(known)} changes were written, and ${what}`);
    }
    database = connect(path);
    const file = check(database, path, clock);
    if (known > file.writes)
      throw new JournalDamaged(`${String(known)} changes were written, the journal ends at ${String(file.writes)}`);
    return { file };
  } catch (error) {
    const { kind, why } = troubleOf(error);
    if (kind !== 'damaged') {
      database?.close();
      throw error;
    }
    return rebuild(path, database, why, clock, known);
  }
}

/** A new journal with what can be read of a damaged one, which is moved aside. Closes its database. */
export function rebuild(
  path: string,
  damaged: DatabaseSync | undefined,
  why: string,
  clock: () => number,
  writes: number,
): Opened {
  const [fresh, aside] = [`${path}.new`, `${path}.broken-${new Date(clock()).toISOString().replaceAll(':', '')}`];
  for (const end of ['', ...BESIDE]) rmSync(fresh + end, { force: true });
  const made = connect(fresh);
  const to = check(made, fresh, clock);
  const salvaged = damaged === undefined ? { kept: {}, aside: [], unreadable: 0 } : salvage(damaged, to);
  // Its end would count as lost otherwise.
  to.countOn(writes);
  // It is renamed without its log, and a close that could not write that into the file does not fail.
  to.checkpoint('TRUNCATE');
  made.close();
  // SQLite may take the end of its log for what never was: it goes aside as it is before the file is closed.
  if (isThere(`${path}-wal`)) copyFileSync(`${path}-wal`, `${aside}-wal`);
  try {
    damaged?.close();
  } catch (error) {
    if (troubleOf(error).kind !== 'damaged') throw error;
  }
  if (isThere(path)) renameSync(path, aside);
  for (const end of BESIDE) rmSync(path + end, { force: true });
  renameSync(fresh, path);
  syncFolderOf(path);
  return { file: check(connect(path), path, clock), moved: { movedTo: aside, why, salvaged } };
}

export function connect(path: string): DatabaseSync {
  const database = new DatabaseSync(path);
  settle(database);
  return database;
}

/** Fails with JournalForeign or JournalDamaged, and as SQLite does. */
function check(database: DatabaseSync, path: string, clock: () => number): JournalFile {
  if (isEmpty(database)) create(database);
  assertOurs(database, path);
  database.exec('PRAGMA journal_mode = WAL');
  if (statSync(path).size <= LOOKED_THROUGH_BYTES) lookThrough(database);
  return new JournalFile(database, clock);
}

/** Whether pages and indexes agree with each other. An index is made again from its table. Fails with JournalDamaged. */
export function lookThrough(database: DatabaseSync): void {
  const problem = () => {
    const [first] = database.prepare('PRAGMA integrity_check(1)').all();
    const text = String(first?.['integrity_check']);
    return text === 'ok' ? undefined : text;
  };
  if (problem() === undefined) return;
  database.exec('REINDEX');
  const left = problem();
  if (left !== undefined) throw new JournalDamaged(left);
}
