/**
 * How a journal lies in its file. Everything that reads or makes one, the daemon or a command,
 * begins here.
 */
import type { DatabaseSync } from 'node:sqlite';

/** In the header of the file: it is a journal of ours, and no other database. */
export const APPLICATION_ID = 0x686f7374;
export const SCHEMA = 1;
/** In the state folder. */
export const JOURNAL_FILE = 'journal.sqlite';
/** What SQLite keeps beside the file: it goes where the file goes. */
export const BESIDE = ['-wal', '-shm', '-journal'] as const;

/**
 * meta: `writes` counts the changes; `indexed` is the same number, unless the last change was that
 * of a version which knows fewer traits; `forgotten` is the place of the latest end that may be
 * missing. operations: one row an operation; `ended` is unset while it is unfinished, `request` is
 * what makes its request id unique. traits: by what operations are looked for; see traits.ts.
 * entries: everything else, by kind. aside: what could not be read. Tables have plain row numbers,
 * so that rows can be read one by one where the pages above them are damaged.
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
 * The lock is exclusive, so that the index of the write-ahead log lies in our memory: a mapped file
 * would end the daemon with SIGBUS when its disk fails. A commit is synced. Who writes says when
 * the log goes into the file.
 */
const SETTINGS = `
  PRAGMA locking_mode = EXCLUSIVE;
  PRAGMA synchronous = FULL;
  PRAGMA wal_autocheckpoint = 0;
  PRAGMA temp_store = MEMORY;
  PRAGMA cell_size_check = ON;
  PRAGMA cache_size = -4000;
`;

/** It is no journal that this version can work with; it is left as it is. */
export class JournalForeign extends Error {
  override readonly name = 'JournalForeign';
}

/** The file's own facts do not agree with each other, or with what was written. */
export class JournalDamaged extends Error {
  override readonly name = 'JournalDamaged';
}

/** Applies what lasts for this connection only. */
export function configureDatabase(database: DatabaseSync): void {
  database.exec(SETTINGS);
}

/** Whether the database has no tables or indexes, as a file that was just created. */
export function isEmpty(database: DatabaseSync): boolean {
  return database.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.['n'] === 0;
}

/** Makes the tables of a new journal. */
export function create(database: DatabaseSync): void {
  database.exec('PRAGMA journal_mode = WAL');
  database.exec(`BEGIN IMMEDIATE; PRAGMA application_id = ${String(APPLICATION_ID)}; ${TABLES}`);
  database.prepare("INSERT INTO meta VALUES ('schema', ?), ('writes', '0'), ('indexed', '0')").run(String(SCHEMA));
  database.exec('COMMIT');
}

/**
 * Fails with JournalForeign unless it is a journal of this version, and with JournalDamaged where
 * it does not say.
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
