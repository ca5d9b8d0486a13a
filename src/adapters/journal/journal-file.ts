/** Reads and writes of an open journal. Makes synchronous calls; it lives in its own thread. */
import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite';
import { JournalDamaged } from './schema.js';
import { endPlace, lifeOf } from '../../domain/operations/ends.js';
import {
  sumOf,
  type EndedSearch,
  type FoundRows,
  type JournalRow,
  type OperationSearch,
  type SetAside,
  type Write,
} from './rows.js';
import { Search, searchEnded } from './search.js';
import { columnsOf, endOf, endTrait, isOfEnd, mayBeFinal } from './traits.js';
import { troubleOf } from './trouble.js';

type Fields = Record<string, SQLOutputValue>;

/** A query without an index, used only on damage. */
const END_OF = `SELECT trait FROM traits WHERE trait > '${endTrait('')}' AND trait < '${endTrait('~')}' AND id = ?`;

/**
 * The journal's SQLite file with its rows, counters and checksums. Makes synchronous calls; it
 * lives in the journal's thread.
 */
export class JournalFile {
  /** Number of changes ever written; the file and the count file beside it hold the same number. */
  writes: number;
  /** Number of operations. */
  operations: number;
  /** Number of operations added since the file was opened, at least. */
  added = 0;
  /** The latest place in the order of ends that was ever written. */
  latestEnd: string;
  /** Records that were found unreadable since the last question. */
  readonly found: SetAside[] = [];
  readonly #statements = new Map<string, StatementSync>();
  readonly #passed = new Set<string>();

  constructor(
    readonly database: DatabaseSync,
    private readonly clock: () => number,
  ) {
    this.writes = Number(this.sql("SELECT value FROM meta WHERE key = 'writes'").get()?.['value']);
    if (!Number.isSafeInteger(this.writes))
      throw new JournalDamaged('the journal does not record how many changes were written');
    this.latestEnd = endPlace(this.writes + 1, 0);
    const all = 'SELECT count(*) AS n FROM operations INDEXED BY sqlite_autoindex_operations_1';
    this.operations = Number(this.sql(all).get()?.['n']);
  }

  /** Writes all or nothing; durable on return. */
  write(writes: readonly Write[]): void {
    this.transaction(() => {
      for (const write of writes) {
        if (write.kind === 'operation') this.#writeOperation(write);
        else this.#writeEntry(write.kind, write);
      }
    });
  }

  /** Rolled back if `act` throws. Each transaction is counted. */
  transaction(act: () => void): void {
    const { database, operations } = this;
    database.exec('BEGIN IMMEDIATE');
    try {
      act();
      this.sql("UPDATE meta SET value = ? WHERE key IN ('writes', 'indexed')").run(String(this.writes + 1));
      database.exec('COMMIT');
      this.writes += 1;
    } catch (error) {
      // SQLite rolls back by itself after some errors.
      if (database.isTransaction) database.exec('ROLLBACK');
      this.operations = operations;
      throw error;
    }
  }

  /** Raises the number of changes to at least this. */
  countOn(writes: number): void {
    this.writes = Math.max(this.writes, writes);
    this.transaction(() => undefined);
    this.latestEnd = endPlace(this.writes + 1, 0);
  }

  /** Call it in a transaction. Stores a record that another journal could not read. */
  keepAside({ kind, key, why }: SetAside): void {
    this.sql('INSERT INTO aside VALUES (?, ?, NULL, ?, ?)').run(kind, key, why, this.clock());
  }

  /** A transaction that becomes durable with the next synced one. */
  unsynced(act: () => void): void {
    this.database.exec('PRAGMA synchronous = NORMAL');
    try {
      this.transaction(act);
    } finally {
      this.database.exec('PRAGMA synchronous = FULL');
    }
  }

  operation(id: string): JournalRow | undefined {
    return this.#row('operation', this.sql('SELECT rowid, id AS key, body, sum FROM operations WHERE id = ?').get(id));
  }

  /** The latest operation with a request id. */
  request(text: string): JournalRow | undefined {
    const newest = 'SELECT rowid, id AS key, body, sum FROM operations WHERE request = ? ORDER BY id DESC LIMIT 1';
    return this.#row('operation', this.sql(newest).get(text));
  }

  unfinished(): JournalRow[] {
    const all = 'SELECT rowid, id AS key, body, sum FROM operations WHERE ended IS NULL ORDER BY id';
    return this.#rows('operation', this.sql(all).all());
  }

  entries(kind: string): JournalRow[] {
    return this.#rows(
      kind,
      this.sql('SELECT rowid, key, body, sum FROM entries WHERE kind = ? ORDER BY key').all(kind),
    );
  }

  search(look: OperationSearch): FoundRows {
    return new Search(this, look).page();
  }

  /** Unset if the history does not go back to the place. */
  ended(look: EndedSearch): { readonly found?: FoundRows } {
    const forgotten = this.sql("SELECT value FROM meta WHERE key = 'forgotten'").get()?.['value'];
    if (typeof forgotten === 'string' && forgotten > look.behind) return {};
    return { found: searchEnded(this, look) };
  }

  /** Call it in a transaction. Records that ends up to this place may be missing. */
  forgetEnds(place: string): void {
    const later = 'ON CONFLICT(key) DO UPDATE SET value = excluded.value WHERE excluded.value > value';
    this.sql(`INSERT INTO meta VALUES ('forgotten', ?) ${later}`).run(place);
  }

  /** The latest life of which a place is known. */
  get latestLife(): number {
    const last = `SELECT max(trait) AS last FROM traits WHERE trait > '${endTrait('')}' AND trait < '${endTrait('~')}'`;
    const forgotten = this.sql("SELECT value FROM meta WHERE key = 'forgotten'").get()?.['value'];
    const places = [endOf([String(this.sql(last).get()?.['last'])]), forgotten];
    return Math.max(0, ...places.map((place) => (typeof place === 'string' ? lifeOf(place) : 0)));
  }

  /** For each trait the latest operation that has it. */
  latest(traits: readonly string[]): JournalRow[] {
    const newest = this.sql('SELECT id FROM traits WHERE trait = ? ORDER BY id DESC LIMIT 1');
    return traits.flatMap((trait) => {
      const id = newest.get(trait)?.['id'];
      return typeof id === 'string' ? (this.operation(id) ?? []) : [];
    });
  }

  asideCount(): number {
    return Number(this.sql('SELECT count(*) AS n FROM aside').get()?.['n']);
  }

  /**
   * Checks the rows after this one: damaged rows are set aside, and traits and columns that differ
   * from the record are written again. Returns the last row that was checked; undefined at the end.
   */
  verify(table: 'operations' | 'entries', after: number, limit: number): number | undefined {
    const columns = table === 'operations' ? "'operation' AS kind, id AS key, ended, request" : 'kind, key';
    const next = `SELECT rowid, ${columns}, body, sum FROM ${table} WHERE rowid > ? ORDER BY rowid LIMIT ?`;
    const rows = this.sql(next).all(after, limit);
    for (const fields of rows) {
      const row = this.#row(String(fields['kind']), fields);
      if (row !== undefined && table === 'operations') this.#checkColumns(row, fields);
    }
    const last = rows.at(-1)?.['rowid'];
    return rows.length < limit || last === undefined ? undefined : Number(last);
  }

  /** Checks all of both tables at once. */
  verifyAll(): void {
    for (const table of ['entries', 'operations'] as const)
      for (let at: number | undefined = -Infinity; at !== undefined;) at = this.verify(table, at, 1000);
  }

  /** False if the last change was made by a version that knows fewer traits: see `index`. */
  get isIndexed(): boolean {
    return this.sql("SELECT value FROM meta WHERE key = 'indexed'").get()?.['value'] === String(this.writes);
  }

  /** Adds the traits that another version did not know, in 30 µs for each operation. */
  index(): void {
    this.transaction(() => {
      const next = this.sql(
        'SELECT rowid, id AS key, body, sum FROM operations WHERE rowid > ? ORDER BY rowid LIMIT 100',
      );
      for (
        let after: SQLOutputValue = 0, rows;
        (rows = next.all(after)).length > 0;
        after = rows.at(-1)?.['rowid'] ?? 0
      )
        for (const { key, body } of rows.flatMap((fields) => rowOf('operation', fields) ?? []))
          this.#addTraits(key, columnsOf(body).traits);
      this.sql("INSERT OR IGNORE INTO meta VALUES ('indexed', '')").run();
      // That version has used none of the places of the next life.
      this.forgetEnds(endPlace(this.writes + 1, 0));
    });
  }

  #addTraits(id: string, traits: readonly string[]): void {
    for (const trait of traits) this.sql('INSERT OR IGNORE INTO traits VALUES (?, ?)').run(trait, id);
  }

  /** Writes the log into the file; both are durable on return. */
  checkpoint(mode: 'PASSIVE' | 'TRUNCATE'): void {
    this.database.exec(`PRAGMA wal_checkpoint(${mode})`);
  }

  /**
   * Pages of the log that are not in the file yet. The length of the log does not show it: SQLite
   * overwrites the log from its beginning and never shortens it.
   */
  logPages(): number {
    const pages = this.sql('PRAGMA wal_checkpoint(NOOP)').get();
    return Number(pages?.['log']) - Number(pages?.['checkpointed']);
  }

  sql(text: string): StatementSync {
    const known = this.#statements.get(text);
    if (known !== undefined) return known;
    const made = this.database.prepare(text);
    this.#statements.set(text, made);
    return made;
  }

  #writeOperation({ key, body }: Write): void {
    if (body === undefined) {
      this.removeOperation(key);
      return;
    }
    const sum = sumOf('operation', { key, body });
    // Most writes are of an unfinished operation, whose columns and traits stay the same.
    const again = 'UPDATE operations SET body = ?, sum = ? WHERE id = ? AND ended IS NULL';
    if (!mayBeFinal(body) && this.sql(again).run(body, sum, key).changes === 1) return;
    const { ended, request, traits } = columnsOf(body);
    const update = this.sql('UPDATE operations SET ended = ?, request = ?, body = ?, sum = ? WHERE id = ?');
    const known = update.run(ended, request, body, sum, key).changes === 1;
    if (!known) {
      const insert = 'INSERT INTO operations(id, ended, request, body, sum) VALUES (?, ?, ?, ?, ?)';
      this.sql(insert).run(key, ended, request, body, sum);
      this.operations += 1;
      this.added += 1;
    }
    // Traits that are not of the end never change.
    const changed = known ? traits.filter(isOfEnd) : traits;
    this.#addTraits(key, changed);
    const end = endOf(changed) ?? '';
    if (end > this.latestEnd) this.latestEnd = end;
  }

  /**
   * Call it in a transaction. Returns the operation's request id, if it had one that can be read.
   */
  removeOperation(id: string): string[] {
    const fields = this.sql('SELECT id AS key, body, sum FROM operations WHERE id = ?').get(id);
    if (fields === undefined) return [];
    // The traits of a damaged record stay and match nothing.
    const row = rowOf('operation', fields);
    const { traits, request } = row === undefined ? { traits: [], request: null } : columnsOf(row.body);
    for (const trait of traits) this.sql('DELETE FROM traits WHERE trait = ? AND id = ?').run(trait, id);
    this.sql('DELETE FROM operations WHERE id = ?').run(id);
    this.operations -= 1;
    const end = endOf(traits);
    if (end !== undefined) this.forgetEnds(end);
    return request === null ? [] : [request];
  }

  /** The checksum covers the record alone. The columns beside it are compared with the record. */
  #checkColumns({ key, body }: JournalRow, { ended, request }: Fields): void {
    const expected = columnsOf(body);
    const isTrait = this.sql('SELECT 1 FROM traits WHERE trait = ? AND id = ?');
    const missing = expected.traits.filter((trait) => isTrait.get(trait, key) === undefined);
    // For a state of another version it is unknown whether it is final.
    const isSame = (expected.ended === ended || !expected.isKnown) && expected.request === request;
    if (isSame && missing.length === 0) return;
    this.found.push({
      kind: 'operation',
      key,
      why: 'its index did not agree with its record, and was made again',
    });
    this.#unlessRefused(() => {
      if (!isSame)
        this.sql('UPDATE operations SET ended = ?, request = ? WHERE id = ?').run(
          expected.ended,
          expected.request,
          key,
        );
      this.#addTraits(key, missing);
    });
  }

  #writeEntry(kind: string, { key, body }: Write): void {
    if (body === undefined) this.sql('DELETE FROM entries WHERE kind = ? AND key = ?').run(kind, key);
    else
      this.sql(
        'INSERT INTO entries VALUES (?, ?, ?, ?) ON CONFLICT(kind, key) DO UPDATE SET body = excluded.body, sum = excluded.sum',
      ).run(kind, key, body, sumOf(kind, { key, body }));
  }

  #rows(kind: string, rows: readonly Fields[]): JournalRow[] {
    return rows.flatMap((each) => this.#row(kind, each) ?? []);
  }

  /** The row as it was written; undefined if it is damaged, and then it is set aside. */
  #row(kind: string, fields: Fields | undefined): JournalRow | undefined {
    if (fields === undefined) return undefined;
    const row = rowOf(kind, fields);
    if (row === undefined) this.#setAside(kind, fields, 'it cannot be read, and is set aside');
    return row;
  }

  /**
   * Moves a row aside, so that it is never read again. If nothing can be written now, the row stays
   * and is skipped.
   */
  #setAside(kind: string, { rowid, key, body }: Fields, why: string): void {
    const table = kind === 'operation' ? 'operations' : 'entries';
    const name = `${table} ${String(rowid)}`;
    if (this.#passed.has(name)) return;
    this.#passed.add(name);
    this.found.push({ kind, key: String(key), why });
    this.#unlessRefused(() => {
      const bytes = typeof body === 'string' ? Buffer.from(body) : (body ?? null);
      this.sql('INSERT INTO aside VALUES (?, ?, ?, ?, ?)').run(kind, String(key), bytes, why, this.clock());
      this.sql(`DELETE FROM ${table} WHERE rowid = ?`).run(rowid ?? null);
      if (table !== 'operations') return;
      this.operations -= 1;
      const end = this.sql(END_OF).get(String(key))?.['trait'];
      if (typeof end === 'string') this.forgetEnds(endOf([end]) ?? '');
    });
  }

  /** Runs an optional change, and ignores the failure if the disk accepts none now. */
  #unlessRefused(act: () => void): void {
    try {
      this.transaction(act);
    } catch (error) {
      const { kind } = troubleOf(error);
      if (kind === 'bug' || kind === 'damaged') throw error;
    }
  }
}

/** A row as it was written; undefined if its checksum does not match. */
export function rowOf(kind: string, { key, body, sum }: Fields): JournalRow | undefined {
  if (typeof key !== 'string' || typeof body !== 'string') return undefined;
  return sumOf(kind, { key, body }) === sum ? { key, body } : undefined;
}
