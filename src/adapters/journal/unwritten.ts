import { inOrder, isPassed, makerIn, type Maker, type RequestKey, type Span } from '../../domain/operations/journal.js';
import type { OperationRecord } from '../../domain/operations/record.js';
import type { Write } from './rows.js';

interface Item {
  readonly write: Write;
  /** The record of an operation; unset if it is removed. */
  readonly record?: OperationRecord;
}

/**
 * Records that should be in the journal but may not be yet, the latest version of each: readers see
 * them as if they were stored.
 */
export class Unwritten {
  readonly #items = new Map<string, Item>();

  get size(): number {
    return this.#items.size;
  }

  set(write: Write, record: OperationRecord | undefined): void {
    this.#items.set(keyOf(write), record === undefined ? { write } : { write, record });
  }

  get writes(): readonly Write[] {
    return [...this.#items.values()].map(({ write }) => write);
  }

  /** Call it when these writes are in the journal; later versions of the same records are not. */
  written(writes: readonly Write[]): void {
    for (const write of writes) if (this.#items.get(keyOf(write))?.write === write) this.#items.delete(keyOf(write));
  }

  /**
   * Undefined: the journal has the current version. Without a record: the operation was removed.
   */
  operation(id: string): { readonly record: OperationRecord | undefined } | undefined {
    const item = this.#items.get(keyOf({ kind: 'operation', key: id }));
    return item && { record: item.record };
  }

  /**
   * The latest operation with the request id, among the unwritten ones and the one from the
   * journal.
   */
  latestOf(key: RequestKey, kept: OperationRecord | undefined): OperationRecord | undefined {
    const own = this.#records.filter(
      ({ caller, method, requestId }) => caller === key.caller && method === key.method && requestId === key.requestId,
    );
    const now = kept === undefined ? undefined : this.operation(kept.id);
    const all = [...own, ...(now === undefined && kept !== undefined ? [kept] : [])];
    return all.sort((a, b) => (a.id < b.id ? 1 : -1))[0];
  }

  /** Updates the records of a page that the journal returned, within the span up to an id. */
  over(records: readonly OperationRecord[], span: Span, reached: string | undefined): readonly OperationRecord[] {
    if (this.size === 0) return records;
    const own = this.#records.filter(({ id }) => isPassed(id, span, reached));
    const kept = records.filter(({ id }) => this.operation(id) === undefined);
    return inOrder([...kept, ...own], span);
  }

  /** The same for operations that ended after one place and up to another. */
  overEnded(records: readonly OperationRecord[], behind: string, upTo: string): readonly OperationRecord[] {
    if (this.size === 0) return records;
    const own = this.#records.filter(({ endPlace }) => endPlace !== undefined && endPlace > behind && endPlace <= upTo);
    const kept = records.filter(({ id }) => this.operation(id) === undefined);
    return [...kept, ...own].sort((a, b) => ((a.endPlace ?? '') < (b.endPlace ?? '') ? -1 : 1));
  }

  /** The operations among these that succeeded. */
  get makers(): Maker[] {
    return this.#records.flatMap((record) => (record.state === 'SUCCEEDED' ? (makerIn(record) ?? []) : []));
  }

  get #records(): OperationRecord[] {
    return [...this.#items.values()].flatMap(({ record }) => record ?? []);
  }
}

function keyOf({ kind, key }: Pick<Write, 'kind' | 'key'>): string {
  return `${kind} ${key}`;
}
