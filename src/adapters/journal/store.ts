import { join } from 'node:path';
import { HostlerError } from '../../domain/model/errors.js';
import type {
  EndedPage,
  Journal,
  Maker,
  RecordPage,
  RequestKey,
  Span,
  TraitFilter,
} from '../../domain/operations/journal.js';
import type { OperationRecord } from '../../domain/operations/record.js';
import type { ResumeEntry, ResumeStore } from '../../domain/operations/recovery/resume-entries.js';
import type { RawDisk, RawDiskStore } from '../../domain/operations/raw-disks.js';
import type { MarkStore, TouchMark } from '../../domain/operations/recovery/touched.js';
import { importLevel, type Imported } from './level-import.js';
import type { JournalAnswer, News, Question } from './messages.js';
import type { HistoryLimits } from './pruning.js';
import { parseRow, readCacheEntry, readMark, readRawDisk, readOperation, readResumeEntry } from './records.js';
import { encode, type EntryKind, type SetAside } from './rows.js';
import { JOURNAL_FILE } from './schema.js';
import { JournalThread, JournalTrouble } from './thread.js';
import { madeText, requestText, traitText } from './traits.js';
import { adviceOn, troubleOf } from './trouble.js';
import { Unwritten } from './unwritten.js';
import { Writer, type WriterState } from './writer.js';
import type { CacheEntry, CacheStore } from '../../domain/ports/image-cache.js';
import type { FileIdentity } from '../../domain/ports/handles.js';

/** A start checks the journal and may have to make it again. */
const OPEN_PATIENCE_MS = 300_000;
/** A disk that takes longer for one change counts as not answering. */
const PATIENCE_MS = 10_000;

export interface JournalOptions {
  readonly folder: string;
  readonly limits: HistoryLimits;
  readonly clock: () => number;
  readonly log: JournalLog;
  readonly patienceMs?: number;
  /** The first delay before a failed store is tried again; it doubles up to `RETRY_MAX_MS`. */
  readonly retryMs?: number;
}

/** Events that an operator should know of. */
export interface JournalLog {
  /** The journal was damaged and has been moved aside; its readable records are in the new one. */
  moved(facts: NonNullable<News['moved']>): void;
  setAside(facts: SetAside): void;
  /** The journal of an earlier version was imported. */
  imported(facts: Imported): void;
  /** Writing has become impossible, or possible again. */
  state(state: WriterState): void;
  /** Old operations cannot be deleted now. */
  tidyFailed(why: string): void;
  /** A batch of records is durable; `seconds` since it was handed over. */
  readonly wrote?: (seconds: number) => void;
}

/** The journal cannot be opened although its content is intact; an operator has to act. */
export class JournalUnavailable extends Error {
  override readonly name = 'JournalUnavailable';
}

/**
 * The journal on disk: operations, marks, resume entries and the index of the cache, in one file
 * that one thread has open.
 */
export class JournalStore implements Journal, MarkStore, RawDiskStore, ResumeStore, CacheStore {
  readonly #thread: JournalThread;
  readonly #writer: Writer;
  readonly #unwritten = new Unwritten();
  readonly #patienceMs: number;
  /** Number of unreadable records since the file was created. */
  asideCount = 0;
  /** Size of the file and its log after the last change. */
  sizeBytes = 0;
  /**
   * Operations that only another version can end; their files are left alone. Known once the
   * journal is open.
   */
  readonly leftToOthers = new Set<string>();
  /** Number of this life of the daemon; known once the journal is open. */
  life = 0;
  /** Whether some record that was in the journal is not known to this life of the daemon. */
  incomplete = false;

  private constructor(private readonly options: JournalOptions) {
    const { folder, clock, log, patienceMs = PATIENCE_MS, retryMs } = options;
    this.#patienceMs = patienceMs;
    this.#thread = this.#threadAt(join(folder, JOURNAL_FILE), join(folder, 'journal.writes'));
    this.#writer = new Writer({
      thread: this.#thread,
      unwritten: this.#unwritten,
      clock,
      patienceMs,
      onState: (state) => {
        log.state(state);
      },
      ...(log.wrote === undefined ? {} : { onWrote: log.wrote }),
      ...(retryMs === undefined ? {} : { retryMs }),
    });
  }

  /**
   * Fails with JournalUnavailable, which names the file and the cause; a damaged journal is moved
   * aside instead.
   */
  static async open(options: JournalOptions): Promise<JournalStore> {
    const store = new JournalStore(options);
    try {
      await store.#takeOver();
      ({ life: store.life = 0 } = await store.#thread.ask({ ask: 'open' }, OPEN_PATIENCE_MS));
      // Missing unfinished operations have to be known from the beginning.
      await store.unfinished();
      return store;
    } catch (error) {
      await store.#thread.end();
      const trouble = error instanceof JournalTrouble ? error.trouble : troubleOf(error);
      const { kind, why } = trouble;
      if (kind === 'bug') throw error;
      throw new JournalUnavailable(
        kind === 'foreign'
          ? why
          : `the journal ${join(options.folder, JOURNAL_FILE)} cannot be opened: ${why}${adviceOn(trouble)}`,
      );
    }
  }

  /** Imports the journal of an earlier version, once. */
  async #takeOver(): Promise<void> {
    const imported = await importLevel(this.options.folder, (path, countFile) => this.#threadAt(path, countFile));
    if (imported === undefined) return;
    this.options.log.imported(imported);
    for (const each of imported.aside) this.#heardOf(each);
    if (imported.problem !== undefined) this.incomplete = true;
  }

  #threadAt(path: string, countFile: string): JournalThread {
    return new JournalThread({ path, countFile, limits: this.options.limits }, (news) => {
      this.#hear(news);
    });
  }

  get writable(): boolean {
    return this.#writer.state.writable;
  }

  assertWritable(): Promise<void> {
    return this.#writer.assertWritable();
  }

  put(record: OperationRecord): Promise<void> {
    return this.#writer.write({ kind: 'operation', key: record.id, body: encode(record) }, record);
  }

  putSoon(record: OperationRecord): Promise<void> {
    return this.#writer.writeSoon({ kind: 'operation', key: record.id, body: encode(record) }, record);
  }

  forget(id: string): void {
    this.#unwritten.set({ kind: 'operation', key: id, body: undefined }, undefined);
    this.#writer.catchUp();
  }

  async get(id: string): Promise<OperationRecord | undefined> {
    const unwritten = this.#unwritten.operation(id);
    if (unwritten !== undefined) return unwritten.record;
    const { rows = [] } = await this.#ask({ ask: 'operation', id });
    return this.#read('operation', rows, readOperation)[0];
  }

  async findRequest(key: RequestKey): Promise<OperationRecord | undefined> {
    const { rows = [] } = await this.#ask({ ask: 'request', text: requestText(key) });
    const [kept] = this.#read('operation', rows, readOperation);
    return this.#unwritten.latestOf(key, kept);
  }

  async unfinished(): Promise<OperationRecord[]> {
    const { rows = [] } = await this.#ask({ ask: 'unfinished' });
    const records = this.#read('operation', rows, readOperation);
    for (const { id, state } of records) if (state === 'UNKNOWN') this.leftToOthers.add(id);
    // Operations in a state that only a newer version knows are not ended by this version.
    return records.filter(({ state }) => state !== 'UNKNOWN');
  }

  async page(wanted: TraitFilter, span: Span, limit: number): Promise<RecordPage> {
    const groups = wanted.map((group) => group.map(traitText));
    const { found } = await this.#ask({ ask: 'search', look: { groups, span, limit } });
    const { rows = [], reached } = found ?? {};
    const records = this.#unwritten.over(this.#read('operation', rows, readOperation), span, reached);
    return { records, reached };
  }

  async ended(wanted: TraitFilter, behind: string, upTo: string, limit: number): Promise<EndedPage | undefined> {
    const groups = wanted.map((group) => group.map(traitText));
    const { found } = await this.#ask({ ask: 'ended', look: { groups, behind, upTo, limit } });
    if (found === undefined) return undefined;
    const { rows, reached } = found;
    const records = this.#unwritten.overEnded(this.#read('operation', rows, readOperation), behind, reached ?? upTo);
    return { records, reached };
  }

  async makersOf(files: readonly FileIdentity[]): Promise<readonly Maker[]> {
    if (files.length === 0) return [];
    const { makers = [] } = await this.#ask({ ask: 'makers', made: files.map(madeText) });
    const wanted = new Set(files.map(madeText));
    const unwritten = this.#unwritten.makers.filter(({ made }) => wanted.has(madeText(made)));
    const later = new Set(unwritten.map(({ made }) => madeText(made)));
    return [...makers.filter(({ made }) => !later.has(madeText(made))), ...unwritten];
  }

  marks(): Promise<readonly TouchMark[]> {
    return this.#entries('mark', readMark);
  }

  putMark(mark: TouchMark): Promise<void> {
    return this.#put('mark', markKey(mark), mark);
  }

  removeMark(mark: TouchMark): Promise<void> {
    return this.#put('mark', markKey(mark), undefined);
  }

  rawDisks(): Promise<readonly RawDisk[]> {
    return this.#entries('raw', readRawDisk);
  }

  putRawDisk(disk: RawDisk): Promise<void> {
    return this.#writer.writeSoon({ kind: 'raw', key: markKey(disk), body: encode(disk) });
  }

  removeRawDisk(disk: RawDisk): Promise<void> {
    return this.#put('raw', markKey(disk), undefined);
  }

  resumeEntries(): Promise<readonly ResumeEntry[]> {
    return this.#entries('resume', readResumeEntry);
  }

  putResumeEntry(entry: ResumeEntry): Promise<void> {
    return this.#put('resume', entry.key, entry);
  }

  removeResumeEntry({ key }: ResumeEntry): Promise<void> {
    return this.#put('resume', key, undefined);
  }

  cacheEntries(): Promise<readonly CacheEntry[]> {
    return this.#entries('cached', readCacheEntry);
  }

  putCacheEntry(entry: CacheEntry): Promise<void> {
    return this.#put('cached', entry.id, entry);
  }

  removeCacheEntry({ id }: CacheEntry): Promise<void> {
    return this.#put('cached', id, undefined);
  }

  /**
   * Call it once the files that are left alone because of the move are recorded elsewhere: the next
   * start then does not report the move again. Fails with STATE_UNAVAILABLE.
   */
  async settled(): Promise<void> {
    await this.#ask({ ask: 'settled' });
  }

  /** Waits for pending writes, but not for a disk that hangs. */
  async close(): Promise<void> {
    await this.#writer.close();
    try {
      await this.#thread.close(this.#patienceMs);
    } catch (error) {
      if (!(error instanceof JournalTrouble)) throw error;
      this.options.log.tidyFailed(`the journal could not be closed: ${error.message}`);
    }
  }

  #put(kind: EntryKind, key: string, value: object | undefined): Promise<void> {
    return this.#writer.write({ kind, key, body: value === undefined ? undefined : encode(value) });
  }

  async #entries<T>(kind: EntryKind, read: (value: unknown) => T): Promise<T[]> {
    const { rows = [] } = await this.#ask({ ask: 'entries', kind });
    return this.#read(kind, rows, read);
  }

  /** Records that this version cannot read are left where they are. */
  #read<T>(kind: string, rows: JournalAnswer['rows'] & object, read: (value: unknown) => T): T[] {
    return rows.flatMap((row) => {
      const value = parseRow(row, read);
      if (value !== undefined) return [value];
      this.#heardOf({ kind, key: row.key, why: 'this version cannot read it; it stays in the journal' });
      return [];
    });
  }

  readonly #heard = new Set<string>();

  #heardOf(facts: SetAside): void {
    const name = `${facts.kind} ${facts.key}`;
    if (this.#heard.has(name)) return;
    this.#heard.add(name);
    this.incomplete = true;
    this.options.log.setAside(facts);
  }

  #hear({ aside = [], asideCount, moved, failed, sizeBytes }: News): void {
    if (sizeBytes !== undefined) this.sizeBytes = sizeBytes;
    if (asideCount !== undefined) this.asideCount = asideCount;
    for (const each of aside) this.#heardOf(each);
    if (moved !== undefined) {
      this.incomplete = true;
      this.options.log.moved(moved);
    }
    if (failed !== undefined) this.options.log.tidyFailed(failed.why);
  }

  async #ask(question: Question): Promise<JournalAnswer> {
    try {
      return await this.#thread.ask(question, this.#patienceMs);
    } catch (error) {
      if (!(error instanceof JournalTrouble)) throw error;
      throw new HostlerError('STATE_UNAVAILABLE', `the history cannot be read now: ${error.message}`, { cause: error });
    }
  }
}

function markKey({ device, inode }: FileIdentity): string {
  return `${String(device)}:${String(inode)}`;
}
