/** Operations by their traits, in the order of ids. */
import type { StatementSync } from 'node:sqlite';
import type { JournalRow, OperationSearch, FoundRows } from './rows.js';
import { UNFINISHED } from './traits.js';

/**
 * An answer ends after so many steps through indexes, about 5 ms; the next page continues there.
 */
const MAX_STEPS = 1500;
const EVERYTHING = '*';

/** What a search reads of a journal. */
interface Operations {
  operation(id: string): JournalRow | undefined;
  sql(text: string): StatementSync;
}

/**
 * Finds operations that have a trait of each group. One object serves one request: it counts the
 * steps of all its pages against MAX_STEPS.
 */
export class Search {
  #steps = 0;

  constructor(private readonly file: Operations) {}

  page({ groups, after, limit }: OperationSearch): FoundRows {
    const all = groups.length === 0 ? [[EVERYTHING]] : groups;
    const rows: JournalRow[] = [];
    let at = after;
    while (rows.length < limit) {
      const { id, passed } = this.#meet(all, at);
      if (id === undefined) return { rows, reached: passed };
      at = id;
      const row = this.file.operation(id);
      if (row !== undefined) rows.push(row);
      if (this.#steps > MAX_STEPS) break;
    }
    return { rows, reached: at };
  }

  /**
   * The first id that is in all groups, or how far there is none when it took too long; neither:
   * there is none at all.
   */
  #meet(groups: readonly (readonly string[])[], after: string): { id?: string; passed?: string } {
    let candidate = this.#first(groups[0] ?? [], after, '>');
    for (let agreed = 1, turn = 1; agreed < groups.length; turn += 1) {
      if (candidate === undefined) return {};
      const next = this.#first(groups[turn % groups.length] ?? [], candidate, '>=');
      if (next === candidate) agreed += 1;
      else if (this.#steps > MAX_STEPS) return { passed: candidate };
      else [candidate, agreed] = [next, 1];
    }
    return candidate === undefined ? {} : { id: candidate };
  }

  /** The first id from there that has one of the traits. */
  #first(traits: readonly string[], from: string, compare: '>' | '>='): string | undefined {
    let first: string | undefined;
    for (const trait of traits) {
      this.#steps += 1;
      const id = this.#seek(trait, from, compare)?.['id'];
      if (typeof id === 'string' && (first === undefined || id < first)) first = id;
    }
    return first;
  }

  #seek(trait: string, from: string, compare: '>' | '>=') {
    const rest = `id ${compare} ? ORDER BY id LIMIT 1`;
    if (trait === EVERYTHING) return this.file.sql(`SELECT id FROM operations WHERE ${rest}`).get(from);
    if (trait === UNFINISHED)
      return this.file.sql(`SELECT id FROM operations WHERE ended IS NULL AND ${rest}`).get(from);
    return this.file.sql(`SELECT id FROM traits WHERE trait = ? AND ${rest}`).get(trait, from);
  }
}
