import type { ClassicLevel } from 'classic-level';
import { isFinal } from '../domain/operations/record.js';
import { OPERATION, PRUNED_KEY, requestKey } from './journal-keys.js';
import { decodeRecord } from './record-codec.js';

/** A request id is known for at least so long, whatever the limits say. */
const REQUEST_ID_MS = 24 * 3600 * 1000;
/** Looked at when so many have finished since the last time. */
const BETWEEN = 1000;

interface Limits {
  readonly historyLimit: number;
  readonly historyMs: number;
  readonly clock: () => number;
  readonly onHistoryFailed: (error: unknown) => void;
}

/** Forgets finished operations that are too old or too many. */
export class JournalHistory {
  #since = 0;

  constructor(
    private readonly level: ClassicLevel,
    private readonly limits: Limits,
  ) {}

  /** So many more have finished. Never rejects. */
  async finished(count: number): Promise<void> {
    this.#since += count;
    if (this.#since < Math.min(BETWEEN, this.limits.historyLimit)) return;
    this.#since = 0;
    try {
      await this.#prune();
    } catch (error) {
      this.limits.onHistoryFailed(error);
    }
  }

  async #prune(): Promise<void> {
    const { historyLimit, historyMs, clock } = this.limits;
    const keys = await this.level.keys({ gt: OPERATION, lt: `${OPERATION}~` }).all();
    let tooMany = keys.length - historyLimit;
    let pruned = Number((await this.level.get(PRUNED_KEY)) ?? 0);
    const batch = this.level.batch();
    for (const key of keys) {
      const value = (await this.level.get(key)) ?? '';
      const line = value.indexOf('\n');
      const record = decodeRecord(value.slice(line + 1));
      const age = clock() - (record.endTime ?? clock());
      // Oldest first: what is young and within the number ends the search.
      if (tooMany <= 0 && age < historyMs) break;
      if (!isFinal(record.state) || (record.requestId !== undefined && age < REQUEST_ID_MS)) continue;
      tooMany -= 1;
      pruned += Number(value.slice(0, line));
      batch.del(key);
      const { caller, method, requestId } = record;
      if (requestId === undefined) continue;
      const request = requestKey({ caller, method, requestId });
      // A later attempt under the same request id keeps its entry.
      if ((await this.level.get(request)) === record.id) batch.del(request);
    }
    await batch.put(PRUNED_KEY, String(pruned)).write({ sync: true });
  }
}
