/** Searches operations by their traits, in the order of ids. */
import type { StatementSync } from 'node:sqlite';
import { isPassed } from '../../domain/operations/journal.js';
import type { EndedSearch, JournalRow, OperationSearch, FoundRows } from './rows.js';
import { UNFINISHED, endOf, endTrait } from './traits.js';

/** A search stops after this many index steps, about 5 ms; the next page continues there. */
const MAX_STEPS = 1500;
const EVERYTHING = '*';
/** Sorts after every id. */
const LAST = '~';

/** Ends that are read at once. */
const ENDS = 100;

/** The parts of a journal that a search reads. */
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

  constructor(
    private readonly file: Operations,
    private readonly look: OperationSearch,
  ) {}

  page(): FoundRows {
    const { groups, span, limit } = this.look;
    const all = groups.length === 0 ? [[EVERYTHING]] : groups;
    const rows: JournalRow[] = [];
    let at = span.newestFirst ? span.before : span.after;
    while (rows.length < limit) {
      const { id, passed } = this.#meet(all, at);
      if (id !== undefined && !isPassed(id, span, undefined)) return { rows, reached: undefined };
      if (id === undefined) return { rows, reached: passed };
      at = id;
      const row = this.file.operation(id);
      if (row !== undefined) rows.push(row);
      if (this.#steps > MAX_STEPS) break;
    }
    return { rows, reached: at };
  }

  /**
   * `id`: the next id that is in all groups. `passed`: the search took too long, and no id up to
   * this one is. Neither: there is no further id.
   */
  #meet(groups: readonly (readonly string[])[], from: string): { id?: string; passed?: string } {
    let candidate = this.#next(groups[0] ?? [], from, 'behind');
    for (let agreed = 1, turn = 1; agreed < groups.length; turn += 1) {
      if (candidate === undefined) return {};
      const next = this.#next(groups[turn % groups.length] ?? [], candidate, 'from');
      if (next === candidate) agreed += 1;
      else if (this.#steps > MAX_STEPS) return { passed: candidate };
      else [candidate, agreed] = [next, 1];
    }
    return candidate === undefined ? {} : { id: candidate };
  }

  /** The next id, from `start` or after it, that has one of the traits. */
  #next(traits: readonly string[], start: string, where: 'from' | 'behind'): string | undefined {
    const { newestFirst } = this.look.span;
    let found: string | undefined;
    for (const trait of traits) {
      this.#steps += 1;
      const id = this.#seek(trait, start, where)?.['id'];
      if (typeof id === 'string' && (found === undefined || id < found !== newestFirst)) found = id;
    }
    return found;
  }

  #seek(trait: string, start: string, where: 'from' | 'behind') {
    const { newestFirst } = this.look.span;
    const compare = `${newestFirst ? '<' : '>'}${where === 'from' ? '=' : ''}`;
    const rest = `id ${compare} ? ORDER BY id ${newestFirst ? 'DESC' : 'ASC'} LIMIT 1`;
    // Sorts after every id.
    const from = newestFirst && start === '' ? LAST : start;
    if (trait === EVERYTHING) return this.file.sql(`SELECT id FROM operations WHERE ${rest}`).get(from);
    if (trait === UNFINISHED)
      return this.file.sql(`SELECT id FROM operations WHERE ended IS NULL AND ${rest}`).get(from);
    return this.file.sql(`SELECT id FROM traits WHERE trait = ? AND ${rest}`).get(trait, from);
  }
}

/** Operations that ended after one place and up to another, in this order. */
export function searchEnded(file: Operations, { groups, behind, upTo, limit }: EndedSearch): FoundRows {
  const next = file.sql('SELECT trait, id FROM traits WHERE trait > ? AND trait <= ? ORDER BY trait LIMIT ?');
  const has = file.sql('SELECT 1 FROM traits WHERE trait = ? AND id = ?');
  const rows: JournalRow[] = [];
  let [at, steps] = [endTrait(behind), 0];
  for (;;) {
    const ends = next.all(at, endTrait(upTo), ENDS);
    for (const end of ends) {
      const [trait, id] = [String(end['trait']), String(end['id'])];
      const isWanted = groups.every((group) => group.some((each) => has.get(each, id) !== undefined));
      const row = isWanted ? file.operation(id) : undefined;
      if (row !== undefined) rows.push(row);
      at = trait;
      steps += 1 + groups.length;
      if (rows.length === limit || steps > MAX_STEPS) return { rows, reached: endOf([at]) };
    }
    if (ends.length < ENDS) return { rows, reached: undefined };
  }
}
