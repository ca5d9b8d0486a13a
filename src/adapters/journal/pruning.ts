/** Deletes operations that are too old or too many, a few at a time. */
import { Crowds } from './crowds.js';
import type { JournalFile } from './journal-file.js';

/**
 * Request ids are kept at least this long, whatever the limits say, unless their caller alone
 * exceeds the limit.
 */
const REQUEST_ID_MS = 24 * 3600 * 1000;

export interface HistoryLimits {
  readonly operations: number;
  readonly ms: number;
}

/**
 * Removes ended operations beyond the limits of the history, in slices that the caller requests.
 */
export class Pruner {
  readonly #crowds: Crowds;

  constructor(
    readonly file: JournalFile,
    private readonly limits: HistoryLimits,
  ) {
    this.#crowds = new Crowds(file, limits.operations);
  }

  /**
   * Deletes at most `limit` operations, oldest first, never an unfinished one. Returns how many,
   * and whether there may be more to do.
   */
  slice(now: number, limit: number): { readonly gone: number; readonly more: boolean } {
    const { file, limits } = this;
    const old = [
      ...ended(file, false, now - limits.ms, limit),
      ...ended(file, true, now - Math.max(limits.ms, REQUEST_ID_MS), limit),
    ];
    const excess = Math.min(limit, file.operations - limits.operations);
    const many =
      excess <= 0
        ? []
        : [...ended(file, false, now, excess), ...ended(file, true, now - REQUEST_ID_MS, excess)]
            .sort((a, b) => a.ended - b.ended)
            .slice(0, excess);
    const counts = many.length < excess && this.#crowds.isDue;
    const crowd = counts ? this.#crowds.step(excess - many.length) : [];
    const ids = [...new Set([...old, ...many].map(({ id }) => id).concat(crowd))].slice(0, limit);
    this.#forget(ids);
    return { gone: ids.length, more: ids.length === limit || counts };
  }

  #forget(ids: readonly string[]): void {
    if (ids.length === 0) return;
    const requests: string[] = [];
    // Durability is not needed: operations that a power failure brings back are deleted again.
    this.file.unsynced(() => {
      for (const id of ids) requests.push(...this.file.removeOperation(id));
    });
    for (const request of requests) this.#crowds.removed(request);
  }
}

/** Operations that ended by then, with or without a request id. */
function ended(file: JournalFile, asked: boolean, until: number, limit: number): { id: string; ended: number }[] {
  const oldest = `SELECT id, ended FROM operations
    WHERE ended IS NOT NULL AND (request IS NOT NULL) = ? AND ended <= ? ORDER BY ended LIMIT ?`;
  return file
    .sql(oldest)
    .all(asked ? 1 : 0, until, limit)
    .map(({ id, ended: at }) => ({ id: String(id), ended: Number(at) }));
}
