/**
 * Opens the journal of a state folder. A damaged journal is moved aside, and its readable records
 * are copied into a new one.
 */
import { copyFileSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { endPlace } from '../../domain/operations/ends.js';
import { isThere, sizeOf } from '../../file-io/look.js';
import { JournalFile } from './journal-file.js';
import { salvage, type Salvaged } from './salvage.js';
import { BESIDE, assertOurs, create, isEmpty, JournalDamaged, configureDatabase } from './schema.js';
import { troubleOf } from './trouble.js';
import { syncFolderOf, type WriteCountFile } from './write-count-file.js';

/**
 * A file up to this size is checked completely before it is used, in about 50 ms; a larger one is
 * checked in the background.
 */
const LOOKED_THROUGH_BYTES = 16 << 20;

/** Stands between the name of a damaged journal and the time at which it was moved aside. */
const ASIDE = '.broken-';

/** A journal that was moved aside. */
export interface MovedAside {
  readonly movedTo: string;
  readonly why: string;
  readonly salvaged: Salvaged;
}

export interface OpenedJournal {
  readonly file: JournalFile;
  readonly moved?: MovedAside;
}

/** Fails with JournalForeign, and with errors of SQLite or the system. */
export function openJournal(path: string, countFile: WriteCountFile, clock: () => number): OpenedJournal {
  let database: DatabaseSync | undefined;
  const known = countFile.seen ?? 0;
  try {
    const completed = completeMove(path);
    const size = sizeOf(path);
    if ((size ?? 0) === 0 && known > 0) {
      const what = size === undefined ? 'it has gone' : 'it is empty';
      throw new JournalDamaged(`${String(known)} changes were written, and ${what}`);
    }
    // Assigned here so that the catch can close it: a database that is garbage-collected would
    // remove its log.
    database = new DatabaseSync(path);
    configureDatabase(database);
    const file = check(database, path, clock);
    if (known > file.writes)
      throw new JournalDamaged(`${String(known)} changes were written, the journal ends at ${String(file.writes)}`);
    // Records of other files may have been copied into this one: no earlier life may have a greater
    // number.
    if (file.latestLife > file.writes) file.countOn(file.latestLife);
    const moved = moveOf(file, path, completed);
    return moved === undefined ? { file } : { file, moved };
  } catch (error) {
    const { kind, why } = troubleOf(error);
    if (kind !== 'damaged') {
      database?.close();
      throw error;
    }
    const latestEnd = endPlace(known + 1, 0);
    return rebuild(path, { database, latestEnd, writes: known }, why, clock);
  }
}

/** A damaged journal, and what is still known of it. */
interface Damaged {
  readonly database: DatabaseSync | undefined;
  /** The latest place in the order of ends. */
  readonly latestEnd: string;
  /** Number of changes that were written, at least. */
  readonly writes: number;
}

/**
 * Moves a damaged journal aside and copies its readable records into a new one. Closes the damaged
 * database.
 */
export function rebuild(
  path: string,
  { database: damaged, latestEnd, writes }: Damaged,
  why: string,
  clock: () => number,
): OpenedJournal {
  const [fresh, aside] = [freshOf(path), `${path}${ASIDE}${new Date(clock()).toISOString().replaceAll(':', '')}`];
  for (const end of ['', ...BESIDE]) rmSync(fresh + end, { force: true });
  const made = connect(fresh);
  const to = check(made, fresh, clock);
  const salvaged = damaged === undefined ? { kept: {}, aside: [], unreadable: 0 } : salvage(damaged, to);
  to.transaction(() => to.sql("INSERT INTO meta VALUES ('moved', ?), ('moved_why', ?)").run(aside, why));
  // Any of the ends may be among the unreadable records.
  to.transaction(() => {
    to.forgetEnds(latestEnd > to.latestEnd ? latestEnd : to.latestEnd);
  });
  // Otherwise the end of the journal would count as lost.
  to.countOn(Math.max(writes, to.latestLife));
  // The file is renamed without its log, and a close that could not write the log into the file
  // does not fail.
  to.checkpoint('TRUNCATE');
  made.close();
  // SQLite may take the end of its log for garbage: the log is copied before the file is closed.
  if (isThere(`${path}-wal`)) copyFileSync(`${path}-wal`, `${aside}-wal`);
  try {
    damaged?.close();
  } catch (error) {
    if (troubleOf(error).kind !== 'damaged') throw error;
  }
  if (isThere(path)) renameSync(path, aside);
  completeMove(path);
  return { file: check(connect(path), path, clock), moved: { movedTo: aside, why, salvaged } };
}

/**
 * Gives the new journal its name. It is complete once the damaged one has been renamed, also if a
 * start was ended in between.
 */
function completeMove(path: string): boolean {
  if (!isMoving(path)) return false;
  for (const end of BESIDE) rmSync(path + end, { force: true });
  renameSync(freshOf(path), path);
  syncFolderOf(path);
  return true;
}

/**
 * Whether the damaged journal has its new name, and the new one does not have its final name yet.
 */
export function isMoving(path: string): boolean {
  return !isThere(path) && isThere(freshOf(path));
}

function freshOf(path: string): string {
  return `${path}.new`;
}

/**
 * What a new journal records of the one it replaced, until `forgetMove`; later starts read it too.
 */
function moveOf(file: JournalFile, path: string, completed: boolean): MovedAside | undefined {
  const metaValue = (key: string) => file.sql('SELECT value FROM meta WHERE key = ?').get(key)?.['value'];
  const salvaged = { kept: { operation: file.operations }, aside: [], unreadable: 0 };
  const movedTo = metaValue('moved');
  if (movedTo !== undefined) return { movedTo: String(movedTo), why: String(metaValue('moved_why')), salvaged };
  // Versions before this one did not record it.
  const why = 'the start that moved it aside was ended before the new one had its name';
  return completed ? { movedTo: latestAside(path), why, salvaged } : undefined;
}

/** Deletes the record of the move, which is no longer needed. */
export function forgetMove(file: JournalFile): void {
  if (file.sql("SELECT 1 FROM meta WHERE key = 'moved'").get() === undefined) return;
  file.transaction(() => file.sql("DELETE FROM meta WHERE key IN ('moved', 'moved_why')").run());
}

/** The journal's own name if there is none: a journal that was missing left no file. */
function latestAside(path: string): string {
  const begin = `${basename(path)}${ASIDE}`;
  const names = readdirSync(dirname(path)).filter((name) => name.startsWith(begin) && !name.endsWith('-wal'));
  return join(dirname(path), names.sort().at(-1) ?? basename(path));
}

/**
 * Opens the database at `path`, creating it if needed, with the settings of `configureDatabase`.
 * The caller closes it.
 */
export function connect(path: string): DatabaseSync {
  const database = new DatabaseSync(path);
  try {
    configureDatabase(database);
  } catch (error) {
    database.close();
    throw error;
  }
  return database;
}

/** Fails with JournalForeign or JournalDamaged, and with errors of SQLite. */
function check(database: DatabaseSync, path: string, clock: () => number): JournalFile {
  if (isEmpty(database)) create(database);
  assertOurs(database, path);
  database.exec('PRAGMA journal_mode = WAL');
  const isMended = statSync(path).size <= LOOKED_THROUGH_BYTES && lookThrough(database);
  const file = new JournalFile(database, clock);
  if (!file.isIndexed) file.index();
  // When an index did not agree with its table, the table may be wrong.
  if (isMended) file.verifyAll();
  return file;
}

/**
 * Checks that pages and indexes agree with each other; returns whether an index had to be made
 * again from its table. Fails with JournalDamaged.
 */
function lookThrough(database: DatabaseSync): boolean {
  const problem = () => {
    const [first] = database.prepare('PRAGMA integrity_check(1)').all();
    const text = String(first?.['integrity_check']);
    return text === 'ok' ? undefined : text;
  };
  if (problem() === undefined) return false;
  database.exec('REINDEX');
  const left = problem();
  if (left !== undefined) throw new JournalDamaged(left);
  return true;
}
