import {
  inOrder,
  isPassed,
  makerIn,
  type EndedPage,
  type Journal,
  type Maker,
  type RecordPage,
  type RequestKey,
  type Span,
  type Trait,
  type TraitFilter,
} from '../../../src/domain/operations/journal.js';
import type { FileIdentity } from '../../../src/domain/ports/handles.js';
import type { ResumeEntry, ResumeStore } from '../../../src/domain/operations/recovery/resume-entries.js';
import type { RawDiskStore } from '../../../src/domain/operations/raw-disks.js';
import type { MarkStore } from '../../../src/domain/operations/recovery/touched.js';
import { isFinal, type OperationRecord } from '../../../src/domain/operations/record.js';

/**
 * Keeps operations for the life of the daemon; the oldest finished ones go when there are too many.
 */
export class MemoryJournal implements Journal, MarkStore, RawDiskStore, ResumeStore {
  readonly life = 1;
  /** In the order of ids: a map keeps insertion order, and ids are given in order. */
  readonly #records = new Map<string, OperationRecord>();
  /** The latest place of those that have gone. */
  #forgotten = '';
  readonly #resumes = new Map<string, ResumeEntry>();
  readonly #requests = new Map<string, string>();

  constructor(private readonly historyLimit: number) {}

  put(record: OperationRecord): Promise<void> {
    this.#records.set(record.id, record);
    if (record.requestId !== undefined)
      this.#requests.set(
        requestText({ caller: record.caller, method: record.method, requestId: record.requestId }),
        record.id,
      );
    if (isFinal(record.state)) this.#prune();
    return Promise.resolve();
  }

  putSoon(record: OperationRecord): Promise<void> {
    return this.put(record);
  }

  get(id: string): Promise<OperationRecord | undefined> {
    return Promise.resolve(this.#records.get(id));
  }

  findRequest(key: RequestKey): Promise<OperationRecord | undefined> {
    const id = this.#requests.get(requestText(key));
    return Promise.resolve(id === undefined ? undefined : this.#records.get(id));
  }

  unfinished(): Promise<readonly OperationRecord[]> {
    return Promise.resolve([...this.#records.values()].filter(({ state }) => !isFinal(state)));
  }

  assertWritable(): Promise<void> {
    return Promise.resolve();
  }

  forget(id: string): void {
    this.#records.delete(id);
  }

  page(wanted: TraitFilter, span: Span, limit: number): Promise<RecordPage> {
    const found = inOrder(this.#records.values(), span).filter(
      (each) => isPassed(each.id, span, undefined) && wanted.every((group) => group.some((trait) => has(each, trait))),
    );
    const records = found.slice(0, limit);
    return Promise.resolve({ records, reached: records.length === limit ? records.at(-1)?.id : undefined });
  }

  ended(wanted: TraitFilter, behind: string, upTo: string, limit: number): Promise<EndedPage | undefined> {
    const found = [...this.#records.values()]
      .filter(({ endPlace = '' }) => endPlace > behind && endPlace <= upTo)
      .filter((each) => wanted.every((group) => group.some((trait) => has(each, trait))))
      .sort((a, b) => ((a.endPlace ?? '') < (b.endPlace ?? '') ? -1 : 1));
    if (this.#forgotten > behind) return Promise.resolve(undefined);
    const records = found.slice(0, limit);
    return Promise.resolve({ records, reached: records.length === limit ? records.at(-1)?.endPlace : undefined });
  }

  makersOf(files: readonly FileIdentity[]): Promise<readonly Maker[]> {
    const makers = [...this.#records.values()].flatMap((record) =>
      record.state === 'SUCCEEDED' ? (makerIn(record) ?? []) : [],
    );
    return Promise.resolve(
      files.flatMap(
        ({ device, inode }) => makers.findLast(({ made }) => made.device === device && made.inode === inode) ?? [],
      ),
    );
  }

  rawDisks(): Promise<readonly never[]> {
    return Promise.resolve([]);
  }

  putRawDisk(): Promise<void> {
    return Promise.resolve();
  }

  removeRawDisk(): Promise<void> {
    return Promise.resolve();
  }

  marks(): Promise<readonly never[]> {
    return Promise.resolve([]);
  }

  putMark(): Promise<void> {
    return Promise.resolve();
  }

  removeMark(): Promise<void> {
    return Promise.resolve();
  }

  resumeEntries(): Promise<readonly ResumeEntry[]> {
    return Promise.resolve([...this.#resumes.values()]);
  }

  putResumeEntry(entry: ResumeEntry): Promise<void> {
    this.#resumes.set(entry.key, entry);
    return Promise.resolve();
  }

  removeResumeEntry({ key }: ResumeEntry): Promise<void> {
    this.#resumes.delete(key);
    return Promise.resolve();
  }

  #prune(): void {
    if (this.#records.size <= this.historyLimit) return;
    for (const record of this.#records.values()) {
      if (!isFinal(record.state)) continue;
      this.#records.delete(record.id);
      if ((record.endPlace ?? '') > this.#forgotten) this.#forgotten = record.endPlace ?? '';
      if (record.requestId !== undefined) this.#forget(record.requestId, record);
      if (this.#records.size <= this.historyLimit) return;
    }
  }

  #forget(requestId: string, { id, caller, method }: OperationRecord): void {
    const key = requestText({ caller, method, requestId });
    if (this.#requests.get(key) === id) this.#requests.delete(key);
  }
}

function requestText({ caller, method, requestId }: RequestKey): string {
  return JSON.stringify([caller, method, requestId]);
}

function has(record: OperationRecord, trait: Trait): boolean {
  if (trait.kind === 'label') return record.labels[trait.key] === trait.value;
  if (trait.kind === 'state' && !isFinal(record.state)) return true;
  if (trait.kind === 'reason') return record.error?.reason === trait.value;
  return record[trait.kind] === trait.value;
}
