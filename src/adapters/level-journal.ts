import { open, rename, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { ClassicLevel, type BatchOperation } from 'classic-level';
import type { CacheEntry, CacheStore } from '../domain/cache/cache-entry.js';
import type { Journal, RequestKey } from '../domain/operations/journal.js';
import { isFinal, type OperationRecord } from '../domain/operations/record.js';
import type { ResumeEntry, ResumeStore } from '../domain/operations/resume-entries.js';
import type { MarkStore, TouchMark } from '../domain/operations/touched.js';
import { JournalHistory } from './journal-history.js';
import {
  CACHED,
  LIVE,
  OPERATION,
  PRUNED_KEY,
  RESUME,
  SCHEMA_KEY,
  TOTAL_KEY,
  TOUCHED,
  requestKey,
  touchedKey,
} from './journal-keys.js';
import {
  decodeCacheEntry,
  decodeMark,
  decodeRecord,
  decodeResumeEntry,
  encodeMark,
  encodeRecord,
} from './record-codec.js';

type Level = ClassicLevel;
type Write = BatchOperation<Level, string, string>;

const SCHEMA = 1;

/** A record on its way to the disk. */
interface Waiting {
  readonly record: OperationRecord;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** The journal was made by a newer version. */
export class JournalTooNew extends Error {
  override readonly name = 'JournalTooNew';
}

export interface JournalOptions {
  readonly folder: string;
  readonly historyLimit: number;
  readonly historyMs: number;
  readonly clock: () => number;
  /** Pruning failed; it is tried again later. */
  readonly onHistoryFailed: (error: unknown) => void;
  /** A journal that could not be read was moved aside; where to, and why. */
  readonly onBroken: (movedTo: string, why: string) => void;
}

/** Operations in LevelDB: every write is synced, writes of one moment share a sync, gaps are found at start. */
export class LevelJournal implements Journal, MarkStore, ResumeStore, CacheStore {
  readonly #writes = new Map<string, number>();
  #total = 0;
  #queue: Waiting[] = [];
  #writing: Promise<void> | undefined;

  private constructor(
    private readonly level: Level,
    private readonly witness: FileHandle,
    private readonly history: JournalHistory,
  ) {}

  /** Opens the journal, or moves a broken one aside and begins a new one. Fails with JournalTooNew. */
  static async open(options: JournalOptions): Promise<LevelJournal> {
    const [path, witnessPath] = [join(options.folder, 'journal'), join(options.folder, 'journal.total')];
    const problem = await LevelJournal.#tryOpen(path, witnessPath, options);
    if (problem instanceof LevelJournal) return problem;
    const aside = `${path}.broken-${new Date(options.clock()).toISOString().replaceAll(':', '')}`;
    await rename(path, aside);
    options.onBroken(aside, problem);
    const fresh = await LevelJournal.#tryOpen(path, undefined, options);
    if (fresh instanceof LevelJournal) return fresh;
    throw new Error(`a new journal cannot be opened: ${fresh}`);
  }

  /** The journal, or what is wrong with it. */
  static async #tryOpen(
    path: string,
    witnessPath: string | undefined,
    options: JournalOptions,
  ): Promise<LevelJournal | string> {
    const level: Level = new ClassicLevel(path, { keyEncoding: 'utf8', valueEncoding: 'utf8' });
    const witness = await open(join(options.folder, 'journal.total'), witnessPath === undefined ? 'w+' : 'a+', 0o600);
    try {
      await level.open();
      const journal = new LevelJournal(level, witness, new JournalHistory(level, options));
      const problem = await journal.#check();
      if (problem === undefined) return journal;
      await level.close();
      await witness.close();
      return problem;
    } catch (error) {
      await level.close().catch(() => undefined); // it may never have been open; the first error says why
      await witness.close();
      if (error instanceof JournalTooNew) throw error;
      return String(error instanceof Error ? (error.cause ?? error) : error);
    }
  }

  put(record: OperationRecord): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ record, resolve, reject });
      this.#writing ??= this.#drain();
    });
  }

  async get(id: string): Promise<OperationRecord | undefined> {
    const value = await this.level.get(OPERATION + id);
    return value === undefined ? undefined : decodeRecord(value.slice(value.indexOf('\n') + 1));
  }

  async findRequest(key: RequestKey): Promise<OperationRecord | undefined> {
    const id = await this.level.get(requestKey(key));
    return id === undefined ? undefined : this.get(id);
  }

  async *list(after: string | undefined): AsyncGenerator<OperationRecord, void> {
    const range = { gt: OPERATION + (after ?? ''), lt: `${OPERATION}~` };
    for await (const value of this.level.values(range)) yield decodeRecord(value.slice(value.indexOf('\n') + 1));
  }

  async unfinished(): Promise<OperationRecord[]> {
    const records: OperationRecord[] = [];
    for await (const key of this.level.keys({ gt: LIVE, lt: `${LIVE}~` })) {
      const record = await this.get(key.slice(LIVE.length));
      if (record !== undefined) records.push(record);
    }
    return records;
  }

  async marks(): Promise<readonly TouchMark[]> {
    const values = await this.level.values({ gt: TOUCHED, lt: `${TOUCHED}~` }).all();
    return values.map(decodeMark);
  }

  async putMark(mark: TouchMark): Promise<void> {
    await this.level.put(touchedKey(mark), encodeMark(mark), { sync: true });
  }

  async removeMark(mark: TouchMark): Promise<void> {
    await this.level.del(touchedKey(mark), { sync: true });
  }

  async resumeEntries(): Promise<readonly ResumeEntry[]> {
    const values = await this.level.values({ gt: RESUME, lt: `${RESUME}~` }).all();
    return values.map(decodeResumeEntry);
  }

  async putResumeEntry(entry: ResumeEntry): Promise<void> {
    await this.level.put(RESUME + entry.key, encodeRecord(entry), { sync: true });
  }

  async removeResumeEntry({ key }: ResumeEntry): Promise<void> {
    await this.level.del(RESUME + key, { sync: true });
  }

  async cacheEntries(): Promise<readonly CacheEntry[]> {
    const values = await this.level.values({ gt: CACHED, lt: `${CACHED}~` }).all();
    return values.map(decodeCacheEntry);
  }

  async putCacheEntry(entry: CacheEntry): Promise<void> {
    await this.level.put(CACHED + entry.id, encodeRecord(entry), { sync: true });
  }

  async removeCacheEntry({ id }: CacheEntry): Promise<void> {
    await this.level.del(CACHED + id, { sync: true });
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.level.close();
    await this.witness.close();
  }

  /** What is missing or wrong; undefined when all is well. */
  async #check(): Promise<string | undefined> {
    const schema = Number((await this.level.get(SCHEMA_KEY)) ?? SCHEMA);
    if (schema > SCHEMA)
      throw new JournalTooNew(
        `the journal has schema ${String(schema)}, this version knows ${String(SCHEMA)}: run the newer version, or move the folder aside`,
      );
    const live = new Set(await this.level.keys({ gt: LIVE, lt: `${LIVE}~` }).all());
    let found = Number((await this.level.get(PRUNED_KEY)) ?? 0);
    for await (const [key, value] of this.level.iterator({ gt: OPERATION, lt: `${OPERATION}~` })) {
      const writes = Number(value.slice(0, value.indexOf('\n')));
      const id = key.slice(OPERATION.length);
      found += writes;
      if (live.has(LIVE + id)) this.#writes.set(id, writes);
    }
    this.#total = Number((await this.level.get(TOTAL_KEY)) ?? 0);
    const witnessed = Number((await this.witness.readFile('utf8')).trim() || '0');
    if (found !== this.#total) return `${String(this.#total)} records were written, ${String(found)} are there`;
    if (witnessed > this.#total)
      return `${String(witnessed)} records were written, the journal ends at ${String(this.#total)}`;
    await this.level.put(SCHEMA_KEY, String(SCHEMA));
    return undefined;
  }

  /** One synced batch for all that came while the last one was written. */
  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      const taken = this.#queue;
      this.#queue = [];
      try {
        const writes = taken.flatMap(({ record }) => this.#writesOf(record));
        await this.level.batch([...writes, { type: 'put', key: TOTAL_KEY, value: String(this.#total) }], {
          sync: true,
        });
        await this.witness.truncate(0);
        await this.witness.write(String(this.#total), 0);
        for (const { resolve } of taken) resolve();
      } catch (error) {
        for (const { reject } of taken)
          reject(error instanceof Error ? error : new Error('the journal failed', { cause: error }));
      }
      await this.history.finished(taken.filter(({ record }) => isFinal(record.state)).length);
    }
    this.#writing = undefined;
  }

  #writesOf(record: OperationRecord): Write[] {
    const { id, state, caller, method, requestId } = record;
    const writes = (this.#writes.get(id) ?? 0) + 1;
    this.#total += 1;
    const batch: Write[] = [{ type: 'put', key: OPERATION + id, value: `${String(writes)}\n${encodeRecord(record)}` }];
    if (writes === 1 && requestId !== undefined)
      batch.push({ type: 'put', key: requestKey({ caller, method, requestId }), value: id });
    if (isFinal(state)) {
      this.#writes.delete(id);
      batch.push({ type: 'del', key: LIVE + id });
    } else {
      this.#writes.set(id, writes);
      if (writes === 1) batch.push({ type: 'put', key: LIVE + id, value: '' });
    }
    return batch;
  }
}
