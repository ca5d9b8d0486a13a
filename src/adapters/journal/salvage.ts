/** Reads the readable records of a damaged journal. */
import type { DatabaseSync, SQLOutputValue } from 'node:sqlite';
import { rowOf, type JournalFile } from './journal-file.js';
import type { SetAside, Write } from './rows.js';
import { troubleOf } from './trouble.js';

const CHUNK = 100;
/** After this many consecutive unreadable chunks the search stops. */
const GIVE_UP_AFTER = 50;

export interface Salvaged {
  /** Number of intact records, by kind. */
  readonly kept: Readonly<Record<string, number>>;
  /** Damaged records, including those that were set aside before. */
  readonly aside: readonly SetAside[];
  /** Number of places in the file that cannot be read at all; each may have held a record. */
  readonly unreadable: number;
}

type Fields = Record<string, SQLOutputValue>;

/** Reads all readable records; `take` gets each intact one. */
export function readAll(from: DatabaseSync, take: (write: Write) => void): Salvaged {
  const kept: Record<string, number> = {};
  const aside: SetAside[] = [];
  const rows = new Rows(from);
  const each = (kind: string, fields: Fields) => {
    const row = rowOf(kind, fields);
    if (row === undefined) {
      aside.push({ kind, key: String(fields['key']), why: 'it is not as it was written' });
      return;
    }
    kept[kind] = (kept[kind] ?? 0) + 1;
    take({ kind, ...row });
  };
  for (const fields of rows.of('operations', "'operation' AS kind, id AS key, body, sum")) each('operation', fields);
  for (const fields of rows.of('entries', 'kind, key, body, sum')) each(String(fields['kind']), fields);
  for (const { kind, key, why } of rows.of('aside', 'kind, key, why'))
    aside.push({ kind: String(kind), key: String(key), why: String(why) });
  return { kept, aside, unreadable: rows.unreadable };
}

/** Copies all readable records into a new journal. */
export function salvage(from: DatabaseSync, to: JournalFile): Salvaged {
  let batch: Write[] = [];
  const flush = () => {
    if (batch.length > 0) to.write(batch);
    batch = [];
  };
  to.database.exec('PRAGMA synchronous = OFF');
  const salvaged = readAll(from, (write) => {
    batch.push(write);
    if (batch.length === 1000) flush();
  });
  flush();
  to.transaction(() => {
    for (const each of salvaged.aside) to.keepAside(each);
  });
  to.database.exec('PRAGMA synchronous = FULL');
  to.checkpoint('TRUNCATE');
  return salvaged;
}

/** Rows of tables, skipping unreadable ones. */
class Rows {
  unreadable = 0;

  constructor(private readonly from: DatabaseSync) {}

  *of(table: 'operations' | 'entries' | 'aside', columns: string): Generator<Fields> {
    const end = this.#last(table);
    let failed = 0;
    for (let at = 0; at <= end && failed < GIVE_UP_AFTER; at += CHUNK) {
      const range = `SELECT ${columns} FROM ${table} WHERE rowid > ? AND rowid <= ?`;
      const rows = this.#try(() => this.from.prepare(range).all(at, at + CHUNK));
      if (rows !== undefined) {
        failed = 0;
        yield* rows;
        continue;
      }
      failed += 1;
      for (let one = at + 1; one <= Math.min(at + CHUNK, end); one += 1) {
        const row = this.#try(() => this.from.prepare(`SELECT ${columns} FROM ${table} WHERE rowid = ?`).all(one));
        if (row === undefined) this.unreadable += 1;
        else if (row.length > 0) failed = 0;
        if (row !== undefined) yield* row;
      }
    }
  }

  /** The highest row number; if it cannot be read, a number above every row. */
  #last(table: string): number {
    const last = this.#try(() => this.from.prepare(`SELECT max(rowid) AS last FROM ${table}`).get());
    return last === undefined ? Number.MAX_SAFE_INTEGER : Number(last['last'] ?? 0);
  }

  #try<T>(read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      if (troubleOf(error).kind === 'bug') throw error;
      return undefined;
    }
  }
}
