/** Callers with more request ids than the history may have operations. */
import type { JournalFile } from './journal-file.js';
import { callerOf, callersRequests, traitText } from './traits.js';

/** Index entries that are counted in one step, in less than a millisecond. */
const STEP = 2000;

interface Caller {
  readonly name: string;
  /** Start of the range of the caller's request ids. */
  readonly from: string;
  readonly to: string;
  count: number;
  isCounted: boolean;
}

/**
 * Counts the request ids of one caller after the other, in steps. After a round in which no caller
 * had too many, the next round begins when enough operations were added for a caller to exceed the
 * limit.
 */
export class Crowds {
  #caller: Caller | undefined;
  /** The last entry that was counted; the next step continues after it. */
  #request = '';
  #id = '';
  #most = 0;
  #roundBegan = 0;
  #dueAt = 0;

  constructor(
    private readonly file: JournalFile,
    private readonly limit: number,
  ) {}

  /** Whether there is something to count now. */
  get isDue(): boolean {
    return this.file.added >= this.#dueAt;
  }

  /**
   * Runs one step. Returns ended operations of a caller with too many request ids: at most
   * `atMost`, oldest first.
   */
  step(atMost: number): string[] {
    const caller = (this.#caller ??= this.#next());
    if (caller === undefined) {
      this.#endRound();
      return [];
    }
    if (!caller.isCounted) this.#count(caller);
    const excess = caller.count - this.limit;
    const ids = excess > 0 ? this.#oldest(caller, Math.min(atMost, excess - this.#unfinished(caller))) : [];
    if (caller.isCounted && ids.length === 0) {
      this.#most = Math.max(this.#most, caller.count);
      this.#request = caller.to;
      this.#id = '';
      this.#caller = undefined;
    }
    return ids;
  }

  /**
   * Call it when an operation with this request id was forgotten. If the id was not counted yet,
   * the count is too low for this round.
   */
  removed(request: string): void {
    const caller = this.#caller;
    if (caller !== undefined && request >= caller.from && request < caller.to) caller.count -= 1;
  }

  #next(): Caller | undefined {
    const request = this.file.sql(FIRST).get(this.#request)?.['request'];
    if (typeof request !== 'string') return undefined;
    const [from, to] = callersRequests(request);
    return { name: callerOf(request), from, to, count: 0, isCounted: false };
  }

  #count(caller: Caller): void {
    const rest = [this.#request, this.#request, this.#id, caller.to] as const;
    const last = this.file.sql(`SELECT request, id ${REST} LIMIT 1 OFFSET ?`).get(...rest, STEP - 1);
    if (last !== undefined) {
      caller.count += STEP;
      [this.#request, this.#id] = [String(last['request']), String(last['id'])];
      return;
    }
    caller.count += Number(this.file.sql(`SELECT count(*) AS n FROM (SELECT 1 ${REST})`).get(...rest)?.['n']);
    caller.isCounted = true;
  }

  /**
   * The caller's ended operations, found by operation id: finding them by request id would need a
   * sort.
   */
  #oldest({ name, from, to }: Caller, count: number): string[] {
    if (count <= 0) return [];
    const trait = traitText({ kind: 'caller', value: name });
    return this.file
      .sql(OLDEST)
      .all(trait, from, to, count)
      .map(({ id }) => String(id));
  }

  #unfinished({ from, to }: Caller): number {
    return Number(this.file.sql(GOING_ON).get(from, to)?.['n']);
  }

  #endRound(): void {
    const room = this.limit - this.#most;
    // Operations that were added during the round may not be counted. A caller who still has too
    // many had no operation that may be forgotten; the next operation to end may be one, also one
    // that was added during the round.
    this.#dueAt = this.#roundBegan + Math.max(room, 0) + 1;
    this.#roundBegan = this.file.added;
    [this.#most, this.#request, this.#id] = [0, '', ''];
  }
}

const FIRST = 'SELECT request FROM operations WHERE request >= ? ORDER BY request LIMIT 1';
const REST = `FROM operations
  WHERE request >= ? AND (request > ? OR id > ?) AND request < ? ORDER BY request, id`;
const GOING_ON =
  'SELECT count(*) AS n FROM operations INDEXED BY unfinished WHERE ended IS NULL AND request >= ? AND request < ?';
const OLDEST = `SELECT o.id FROM traits AS t CROSS JOIN operations AS o ON o.id = t.id
  WHERE t.trait = ? AND o.ended IS NOT NULL AND o.request >= ? AND o.request < ? ORDER BY t.id LIMIT ?`;
