/** Forgets operations that are too old or too many, a few at a time. */
import type { JournalFile } from './journal-file.js';

/** A request id is known for at least so long, whatever the limits say. */
const REQUEST_ID_MS = 24 * 3600 * 1000;

export interface HistoryLimits {
  readonly operations: number;
  readonly ms: number;
}

/** At most so many; how many it was. Oldest first; never an unfinished one or a young request id. */
export function prune(file: JournalFile, limits: HistoryLimits, now: number, limit: number): number {
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
  const ids = [...new Set([...old, ...many].map(({ id }) => id))].slice(0, limit);
  if (ids.length === 0) return 0;
  // Nobody waits for it to be durable: what a power cut brings back is forgotten again.
  file.unsynced(() => {
    for (const id of ids) file.removeOperation(id);
  });
  return ids.length;
}

/** Those with, or without, a request id that ended by then. */
function ended(file: JournalFile, asked: boolean, until: number, limit: number): { id: string; ended: number }[] {
  const oldest = `SELECT id, ended FROM operations
    WHERE ended IS NOT NULL AND (request IS NOT NULL) = ? AND ended <= ? ORDER BY ended LIMIT ?`;
  return file
    .sql(oldest)
    .all(asked ? 1 : 0, until, limit)
    .map(({ id, ended: at }) => ({ id: String(id), ended: Number(at) }));
}
