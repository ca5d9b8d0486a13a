/** The layout of a journal in its file. All code that opens or creates a journal starts here. */
import type { DatabaseSync } from 'node:sqlite';

/** In the header of the file: marks it as a journal of Hostler. */
export const APPLICATION_ID = 0x686f7374;
export const SCHEMA = 1;
/** File name in the state folder. */
export const JOURNAL_FILE = 'journal.sqlite';
/** Suffixes of the files that SQLite keeps beside the database; they are moved together with it. */
export const BESIDE = ['-wal', '-shm', '-journal'] as const;

/**
 * meta: `writes` counts the changes; `indexed` is the same number, unless the last change was made
 * by a version that knows fewer traits; `forgotten` is the place of the latest end that may be
 * missing.
 *
 * operations: one row for each operation; `ended` is unset while it is unfinished, `request` makes
 * its request id unique.
 *
 * traits: what operations are searched by; see traits.ts.
 *
 * entries: all other records, by kind.
 *
 * aside: unreadable records.
 *
 * Tables have plain row numbers, so that rows can be read one by one if the pages above them are
 * damaged.
 */
const TABLES = `
  CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE operations(id TEXT NOT NULL UNIQUE, ended INTEGER, request TEXT, body TEXT NOT NULL, sum INTEGER NOT NULL);
  CREATE INDEX unfinished ON operations(id) WHERE ended IS NULL;
  CREATE INDEX finished ON operations(request IS NOT NULL, ended) WHERE ended IS NOT NULL;
  CREATE INDEX requests ON operations(request, id) WHERE request IS NOT NULL;
  CREATE TABLE traits(trait TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY(trait, id)) WITHOUT ROWID;
  CREATE TABLE entries(kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, sum INTEGER NOT NULL, UNIQUE(kind, key));
  CREATE TABLE aside(kind TEXT NOT NULL, key TEXT NOT NULL, body BLOB, why TEXT NOT NULL, since INTEGER NOT NULL);
`;

/**
 * The lock is exclusive, so that the index of the write-ahead log lies in process memory: a mapped
 * file would end the daemon with SIGBUS if its disk failed. Each commit is synced. The writer
 * decides when the log is written into the file.
 */
const SETTINGS = `
  PRAGMA locking_mode = EXCLUSIVE;
  PRAGMA synchronous = FULL;
  PRAGMA wal_autocheckpoint = 0;
  PRAGMA temp_store = MEMORY;
  PRAGMA cell_size_check = ON;
  PRAGMA cache_size = -4000;
`;

/** The file is not a journal that this version can use; it is left unchanged. */
export class JournalForeign extends Error {
  override readonly name = 'JournalForeign';
}

/** The facts in the file contradict each other, or differ from what was written. */
export class JournalDamaged extends Error {
  override readonly name = 'JournalDamaged';
}

/** Applies the settings that last for this connection only. */
export function configureDatabase(database: DatabaseSync): void {
  database.exec(SETTINGS);
}

/** Whether the database has no tables or indexes, as a file that was just created. */
export function isEmpty(database: DatabaseSync): boolean {
  return database.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.['n'] === 0;
}

/** Creates the tables of a new journal. */
export function create(database: DatabaseSync): void {
  database.exec('PRAGMA journal_mode = WAL');
  database.exec(`BEGIN IMMEDIATE; PRAGMA application_id = ${String(APPLICATION_ID)}; ${TABLES}`);
  database.prepare("INSERT INTO meta VALUES ('schema', ?), ('writes', '0'), ('indexed', '0')").run(String(SCHEMA));
  database.exec('COMMIT');
}

/**
 * Fails with JournalForeign unless the file is a journal of this version, and with JournalDamaged
 * if the version cannot be read.
 */
export function assertOurs(database: DatabaseSync, path: string): void {
  const id = database.prepare('PRAGMA application_id').get()?.['application_id'];
  if (id !== APPLICATION_ID)
    throw new JournalForeign(`${path} is a database, but no journal of Hostler: move it aside`);
  const schema = database.prepare("SELECT value FROM meta WHERE key = 'schema'").get()?.['value'];
  if (schema === undefined) throw new JournalDamaged('the journal does not say which schema it has');
  if (schema === String(SCHEMA)) return;
  throw new JournalForeign(
    `${path} has schema ${JSON.stringify(schema)}, this version knows ${String(SCHEMA)}: run the version that wrote it, or move it aside`,
  );
}
