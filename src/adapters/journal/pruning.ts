/** Forgets operations that are too old or too many, a few at a time. */
import type { JournalFile } from './journal-file.js';
import { callersRequests } from './traits.js';

/** A request id is known for so long, whatever the limits say, unless its caller alone has more than the limit. */
const REQUEST_ID_MS = 24 * 3600 * 1000;

export interface HistoryLimits {
  readonly operations: number;
  readonly ms: number;
}

/** At most so many; how many it was. Oldest first; never an unfinished one. */
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
  const crowd = many.length < excess ? ofCrowds(file, limits.operations, excess - many.length) : [];
  const ids = [...new Set([...old, ...many].map(({ id }) => id).concat(crowd))].slice(0, limit);
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

/** What callers have, oldest first, who have more request ids than `most`: so nobody's are forgotten for another's. */
function ofCrowds(file: JournalFile, most: number, limit: number): string[] {
  const found: string[] = [];
  let next = file.sql(FIRST).get('')?.['request'];
  while (typeof next === 'string' && found.length < limit) {
    const [from, to] = callersRequests(next);
    const excess = Number(file.sql(COUNT).get(from, to, most + limit)?.['n']) - most;
    if (excess > 0) found.push(...oldestEnded(file, from, to, Math.min(excess, limit - found.length)));
    next = file.sql(FIRST).get(to)?.['request'];
  }
  return found;
}

const FIRST = 'SELECT request FROM operations WHERE request >= ? ORDER BY request LIMIT 1';
const COUNT = 'SELECT count(*) AS n FROM (SELECT 1 FROM operations WHERE request >= ? AND request < ? LIMIT ?)';

function oldestEnded(file: JournalFile, from: string, to: string, limit: number): string[] {
  const oldest = 'SELECT id FROM operations WHERE request >= ? AND request < ? ORDER BY id LIMIT ?';
  const isEnded = file.sql('SELECT 1 FROM operations WHERE id = ? AND ended IS NOT NULL');
  const ids = file.sql(oldest).all(from, to, limit);
  return ids.map(({ id }) => String(id)).filter((id) => isEnded.get(id) !== undefined);
}
