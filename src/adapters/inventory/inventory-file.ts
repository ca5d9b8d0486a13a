/**
 * The database with the inventory of one root: rows of images, removed names, and the numbers of
 * their changes. Paths are bytes, one character each, as in the index of dependants.
 */
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import type { Known } from './file-look.js';
import { isBefore, keyAfter, rangesOf, type Key, type KeyRange, type Region } from './region.js';

const SCHEMA = '3';
const BESIDE = ['', '-wal', '-shm', '-journal'];
/**
 * The settings of the journal, but without protection against a power failure: lost rows are
 * scanned again.
 */
const SETTINGS = `
  PRAGMA locking_mode = EXCLUSIVE;
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = OFF;
  PRAGMA temp_store = MEMORY;
  PRAGMA cache_size = -2000;
`;
/**
 * number: of the last change. made: number of the change by which this file took the name. born:
 * number of the change by which any file first took the name, as far as known. stamp: the change
 * time of the inode when its header was read. base: path of the backing file. former: rows as lists
 * see them that began before the change `until`.
 */
const TABLES = `
  CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE images(folder TEXT NOT NULL, name TEXT NOT NULL, number INTEGER NOT NULL, made INTEGER NOT NULL,
    born INTEGER NOT NULL, stamp TEXT NOT NULL, base TEXT, facts TEXT NOT NULL, PRIMARY KEY(folder, name)) WITHOUT ROWID;
  CREATE INDEX by_number ON images(number);
  CREATE INDEX by_made ON images(made) WHERE made <> number;
  CREATE INDEX by_base ON images(base) WHERE base IS NOT NULL;
  CREATE TABLE removed(folder TEXT NOT NULL, name TEXT NOT NULL, number INTEGER NOT NULL, born INTEGER NOT NULL,
    PRIMARY KEY(folder, name)) WITHOUT ROWID;
  CREATE INDEX removed_by_number ON removed(number);
  CREATE TABLE former(folder TEXT NOT NULL, name TEXT NOT NULL, until INTEGER NOT NULL, number INTEGER NOT NULL,
    base TEXT, facts TEXT NOT NULL, PRIMARY KEY(folder, name, until)) WITHOUT ROWID;
`;

/** A `KeyRange`; a query that begins with it is read in the order of the key. */
const RANGE = '(folder, name) >= (?, ?) AND (folder, name) < (?, ?)';
/** Limit of removed names, approximate: beyond it, the oldest tenth is deleted. */
const MOST_REMOVED = 100_000;
/** How long to wait for a previous thread to close the file. */
const BUSY_MS = 10_000;
const SQLITE_BUSY = 5;
/** A list ends if its next page is not requested within this time. */
const PAGES_MS = 300_000;

export interface StoredImage {
  readonly folder: string;
  readonly name: string;
  readonly number: number;
  readonly facts: string;
}
export interface StoredChange {
  readonly folder: string;
  readonly name: string;
  readonly number: number;
  readonly kind: 'created' | 'changed' | 'removed';
  /** Empty if the image was removed. */
  readonly facts: string;
}

/** Rows of images and of their changes. Makes synchronous calls, for its own thread. */
export class InventoryFile {
  readonly life: string;
  #number: number;
  #removedFrom: number;
  /** Lists that began before this change cannot be continued. */
  #formerFrom: number;
  #pagesUntil = 0;
  #hasFormer = false;
  /** Number of removed names in the table. */
  #removed: number;
  readonly #statements = new Map<string, StatementSync>();

  private constructor(
    private readonly database: DatabaseSync,
    private readonly clock: () => number,
  ) {
    this.life = this.#meta('life');
    this.#number = Number(this.#meta('number'));
    this.#removedFrom = Number(this.#meta('removed_from'));
    this.#formerFrom = this.#number;
    this.#removed = Number(this.#sql('SELECT count(*) AS n FROM removed').get()?.['n']);
    this.database.exec('DELETE FROM former');
  }

  /**
   * Opens the file, or creates it again if it is damaged, of another version or of another root.
   * @param root identity of the root; another folder at its path is not that root
   */
  static open(path: string, root: string, clock = Date.now): InventoryFile {
    try {
      const database = new DatabaseSync(path, { timeout: BUSY_MS });
      try {
        database.exec(SETTINGS);
        const known = database.prepare(
          "SELECT group_concat(value, ' ') AS v FROM meta WHERE key IN ('root', 'schema')",
        );
        if (known.get()?.['v'] === `${root} ${SCHEMA}` && isSound(database)) return new InventoryFile(database, clock);
      } catch (error) {
        if (!isOfDatabase(error)) throw error;
      }
      database.close();
    } catch (error) {
      if (!isOfDatabase(error)) throw error;
    }
    return InventoryFile.#make(path, root, clock);
  }

  static #make(path: string, root: string, clock: () => number): InventoryFile {
    for (const end of BESIDE) rmSync(path + end, { force: true });
    const database = new DatabaseSync(path);
    database.exec(SETTINGS);
    database.exec(`BEGIN; ${TABLES}`);
    const put = database.prepare('INSERT INTO meta VALUES (?, ?)');
    const life = randomBytes(8).toString('hex');
    for (const row of Object.entries({ schema: SCHEMA, root, life, number: '0', removed_from: '0' })) put.run(...row);
    database.exec('COMMIT');
    return new InventoryFile(database, clock);
  }

  /** Number of the last change. */
  get number(): number {
    return this.#number;
  }

  /** The work is written as a whole or not at all. */
  transaction(work: () => void): void {
    const before = [this.#number, this.#removed, this.#formerFrom, this.#hasFormer] as const;
    this.database.exec('BEGIN');
    try {
      work();
      if (this.#number !== before[0]) this.#settle();
      this.database.exec('COMMIT');
    } catch (error) {
      [this.#number, this.#removed, this.#formerFrom, this.#hasFormer] = before;
      this.database.exec('ROLLBACK');
      throw error;
    }
  }

  /** Number of images directly in a folder. */
  countIn(folder: string): number {
    return Number(this.#sql('SELECT count(*) AS n FROM images WHERE folder = ?').get(folder)?.['n']);
  }

  /** The first names directly in a folder after this one, in order. */
  namesIn(folder: string, after: string, limit: number): string[] {
    const sql = this.#sql('SELECT name FROM images WHERE folder = ? AND name > ? ORDER BY name LIMIT ?');
    return sql.all(folder, after, limit).map(({ name }) => String(name));
  }

  /** The stamps and facts of these images, as of the last time their headers were read. */
  stampsOf(folder: string, names: readonly string[]): Map<string, Known> {
    const sql = this.#sql('SELECT stamp, facts FROM images WHERE folder = ? AND name = ?');
    const found = new Map<string, Known>();
    for (const name of names) {
      const row = sql.get(folder, name);
      if (row !== undefined) found.set(name, { stamp: String(row['stamp']), facts: String(row['facts']) });
    }
    return found;
  }

  /**
   * Call it in a transaction. `isNew`: the file is not the one that had the name before, if there
   * was one.
   */
  put(
    folder: string,
    name: string,
    { stamp, base, facts, isNew }: { stamp: string; base: string | null; facts: string; isNew: boolean },
  ): void {
    this.#keepFormer('folder = ? AND name = ?', folder, name);
    const number = ++this.#number;
    const where = 'FROM removed WHERE folder = ? AND name = ?';
    const before = this.#removed === 0 ? undefined : this.#sql(`SELECT born ${where}`).get(folder, name);
    this.#sql(
      `INSERT INTO images VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET number = excluded.number,
        made = iif(?, excluded.made, made), stamp = excluded.stamp, base = excluded.base, facts = excluded.facts`,
    ).run(folder, name, number, number, Number(before?.['born'] ?? number), stamp, base, facts, isNew ? 1 : 0);
    if (before === undefined) return;
    this.#sql(`DELETE ${where}`).run(folder, name);
    this.#removed -= 1;
  }

  /** Call it in a transaction. Stores a new stamp of an unchanged image. */
  restamp(folder: string, name: string, stamp: string): void {
    this.#sql('UPDATE images SET stamp = ? WHERE folder = ? AND name = ?').run(stamp, folder, name);
  }

  /** Call it in a transaction. */
  remove(folder: string, name: string): void {
    this.#removeWhere('folder = ? AND name = ?', folder, name);
  }

  /** Call it in a transaction. Removes all images in a folder and below it. */
  removeTree(folder: string): void {
    this.#removeWhere('(folder = ? OR (folder >= ? AND folder < ?))', folder, `${folder}/`, `${folder}0`);
  }

  /** The folder and those below it, as far as they contain images. */
  foldersIn(folder: string): string[] {
    return this.#sql('SELECT DISTINCT folder FROM images WHERE folder = ? OR (folder >= ? AND folder < ?)')
      .all(folder, `${folder}/`, `${folder}0`)
      .map((row) => String(row['folder']));
  }

  /** Whether the state at that change can still be listed. */
  lists(number: number): boolean {
    return number >= this.#formerFrom && number <= this.#number;
  }

  /**
   * Images as they were at a change, in the order of folder and name; with `base` only those backed
   * by this path.
   */
  page(region: Region, at: number, behind: Key, limit: number, base?: string): StoredImage[] {
    const rows: StoredImage[] = [];
    const begin = keyAfter(behind);
    for (const { from, to } of rangesOf(region)) {
      if (rows.length === limit) break;
      if (!isBefore(begin, to)) continue;
      const rest = { from: isBefore(from, begin) ? begin : from, to };
      rows.push(...this.#range(rest, at, limit - rows.length, base));
    }
    if (limit > 0 && rows.length === limit) this.#pagesUntil = this.clock() + PAGES_MS;
    return rows;
  }

  /** Both tables are read in the order of their keys: a page costs no more than its rows. */
  #range(range: KeyRange, at: number, limit: number, base?: string): StoredImage[] {
    const [index, isBacked] = base === undefined ? ['', ''] : ['INDEXED BY by_base', 'base = ? AND'];
    const sql = this.#sql(
      `SELECT folder, name, number, facts FROM images ${index} WHERE ${isBacked} ${RANGE} AND +number <= ?
       UNION ALL SELECT folder, name, number, facts FROM former
        WHERE ${isBacked} ${RANGE} AND +number <= ? AND until > ? ORDER BY folder, name LIMIT ?`,
    );
    const keys = [...(base === undefined ? [] : [base]), ...valuesOf(range)];
    return sql.all(...keys, at, ...keys, at, at, limit).map(({ folder, name, number, facts }) => ({
      ...named(folder, name, number),
      facts: String(facts),
    }));
  }

  /** How many images in the region are backed by a path. */
  dependants(path: string, region: Region): number {
    const where = whereOf({ ...region, path: '', flat: false });
    const sql = `SELECT count(*) AS n FROM images INDEXED BY by_base WHERE base = ? AND ${where.sql}`;
    return Number(this.#sql(sql).get(path, ...where.values)?.['n']);
  }

  /** Whether all changes after that number are known. */
  knows(since: number): boolean {
    return since >= this.#removedFrom && since <= this.#number;
  }

  /**
   * The first changes after `since`, each name once, in the order of their numbers. A file that
   * took its name after `since` is listed at that change, so a reader that stops before the file's
   * last change knows of the file when it reads that change.
   */
  changes(region: Region, since: number, limit: number): StoredChange[] {
    const where = whereOf(region);
    const images = this.#sql(
      `SELECT folder, name, number, made, facts FROM images INDEXED BY by_number
        WHERE number > ? AND (made <= ? OR made = number) AND ${where.sql} ORDER BY number LIMIT ?`,
    ).all(since, since, ...where.values, limit);
    const changedAgain = this.#sql(
      `SELECT folder, name, made AS number, made, facts FROM images INDEXED BY by_made
        WHERE made <> number AND made > ? AND ${where.sql} ORDER BY made LIMIT ?`,
    ).all(since, ...where.values, limit);
    // To a caller that knows all changes up to `since`, a name that came and went later is not
    // news.
    const removed = this.#sql(
      `SELECT folder, name, number FROM removed INDEXED BY removed_by_number
        WHERE number > ? AND born <= ? AND ${where.sql} ORDER BY number LIMIT ?`,
    ).all(since, since, ...where.values, limit);
    const all = [
      ...[...images, ...changedAgain].map(({ folder, name, number, made, facts }) => ({
        ...named(folder, name, number),
        kind: Number(made) > since ? ('created' as const) : ('changed' as const),
        facts: String(facts),
      })),
      ...removed.map(({ folder, name, number }) => ({
        ...named(folder, name, number),
        kind: 'removed' as const,
        facts: '',
      })),
    ];
    return all.sort((a, b) => a.number - b.number).slice(0, limit);
  }

  close(): void {
    this.database.close();
  }

  #removeWhere(where: string, ...values: readonly string[]): void {
    const numbers = '? + row_number() OVER (ORDER BY folder, name)';
    const put = `INSERT OR REPLACE INTO removed SELECT folder, name, ${numbers}, born FROM images WHERE ${where}`;
    const changes = Number(this.#sql(put).run(this.#number, ...values).changes);
    if (changes === 0) return;
    this.#keepFormer(where, ...values);
    this.#number += changes;
    this.#removed += changes;
    this.#sql(`DELETE FROM images WHERE ${where}`).run(...values);
  }

  /** While a list is being read, its remaining rows stay as they were. */
  #keepFormer(where: string, ...values: readonly string[]): void {
    if (this.clock() > this.#pagesUntil) {
      if (this.#hasFormer) this.#sql('DELETE FROM former').run();
      this.#hasFormer = false;
      this.#formerFrom = this.#number + 1;
      return;
    }
    this.#hasFormer = true;
    this.#sql(
      `INSERT OR IGNORE INTO former SELECT folder, name, ?, number, base, facts FROM images WHERE ${where}`,
    ).run(this.#number + 1, ...values);
  }

  #settle(): void {
    const put = this.#sql('INSERT OR REPLACE INTO meta VALUES (?, ?)');
    put.run('number', String(this.#number));
    if (this.#removed <= MOST_REMOVED) return;
    const last = this.#sql('SELECT number FROM removed ORDER BY number LIMIT 1 OFFSET ?').get(
      this.#removed - MOST_REMOVED + MOST_REMOVED / 10,
    );
    this.#removedFrom = Number(last?.['number']);
    this.#removed -= Number(this.#sql('DELETE FROM removed WHERE number <= ?').run(this.#removedFrom).changes);
    put.run('removed_from', String(this.#removedFrom));
  }

  #meta(key: string): string {
    return String(this.#sql('SELECT value FROM meta WHERE key = ?').get(key)?.['value']);
  }

  #sql(text: string): StatementSync {
    const known = this.#statements.get(text);
    if (known !== undefined) return known;
    const made = this.database.prepare(text);
    // Regions of roles with places have different SQL texts, so the cache is limited.
    if (this.#statements.size > 200) this.#statements.clear();
    this.#statements.set(text, made);
    return made;
  }
}

const named = (folder: unknown, name: unknown, number: unknown) => ({
  folder: String(folder),
  name: String(name),
  number: Number(number),
});

function isSound(database: DatabaseSync): boolean {
  return database.prepare('PRAGMA quick_check(1)').get()?.['quick_check'] === 'ok';
}

/** Whether SQLite reports that its file is damaged, or that its disk is full or failing. */
export function isOfDatabase(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error) || error.code !== 'ERR_SQLITE_ERROR') return false;
  return !('errcode' in error) || error.errcode !== SQLITE_BUSY;
}

/** A condition without an index: `INDEXED BY` selects the one that gives the order. */
function whereOf(region: Region): { readonly sql: string; readonly values: readonly SQLInputValue[] } {
  if (region.path === '' && region.inSight === 'all') return { sql: 'TRUE', values: [] };
  const ranges = rangesOf(region);
  return {
    sql: ranges.length === 0 ? 'FALSE' : `(${ranges.map(() => `(${RANGE})`).join(' OR ')})`,
    values: ranges.flatMap(valuesOf),
  };
}

function valuesOf({ from, to }: KeyRange): readonly string[] {
  return [from.folder, from.name, to.folder, to.name];
}
