import { setTimeout as sleep } from 'node:timers/promises';
import { HostlerError } from '../../domain/model/errors.js';
import type { OperationRecord } from '../../domain/operations/record.js';
import type { Write } from './rows.js';
import { JournalTrouble, type JournalThread } from './thread.js';
import type { Unwritten } from './unwritten.js';

/** First delay before a failed store is tried again; it doubles each time. */
const RETRY_MS = 250;
export const RETRY_MAX_MS = 5000;
/** Writes in one transaction; questions are answered between transactions. */
const MOST_WRITES = 128;
/** A write that may come soon waits this long for another one that carries it. */
const SOON_MS = 50;
/** A caller who wants to make a change waits this long to learn whether writing works again. */
const ASK_MS = 1000;

export type WriterState =
  | { readonly writable: true; readonly failedMs: number; readonly caughtUp: number }
  | { readonly writable: false; readonly why: string };

export interface WriterOptions {
  readonly thread: JournalThread;
  readonly unwritten: Unwritten;
  readonly clock: () => number;
  readonly patienceMs: number;
  readonly onState: (state: WriterState) => void;
  readonly retryMs?: number;
  /** A batch is durable; `seconds` since it was handed over. */
  readonly onWrote?: (seconds: number) => void;
}

/** A record on its way to the disk. */
interface Waiting {
  readonly write: Write;
  readonly record: OperationRecord | undefined;
  readonly resolve: () => void;
  readonly reject: (error: HostlerError) => void;
}

/**
 * Writes that arrive together share a sync. After a failure nothing new is written until the disk
 * has accepted all pending records again; the writer retries by itself.
 */
export class Writer {
  #state: WriterState = { writable: true, failedMs: 0, caughtUp: 0 };
  readonly #queue: Waiting[] = [];
  #writing: Promise<void> | undefined;
  #failedAt = 0;
  #retryMs: number;
  #timer: NodeJS.Timeout | undefined;
  /** Set while a write that may come soon waits for another one. */
  #soon: NodeJS.Timeout | undefined;
  #closed = false;
  /** The running attempt to write all pending records. */
  #trying: Promise<void> | undefined;

  constructor(private readonly options: WriterOptions) {
    this.#retryMs = options.retryMs ?? RETRY_MS;
  }

  get state(): WriterState {
    return this.#state;
  }

  /**
   * Retries a failed store at once, so that callers are not refused for longer than the failure
   * lasts. Fails with STATE_UNAVAILABLE.
   */
  async assertWritable(): Promise<void> {
    if (this.#state.writable) return;
    if (this.options.thread.idle || this.#trying !== undefined) {
      this.#trying ??= this.#try();
      await Promise.race([this.#trying, sleep(ASK_MS, undefined, { ref: false })]);
    }
    this.#assertNow();
  }

  #assertNow(): void {
    if (!this.#state.writable) throw unavailable(this.#state.why);
  }

  /**
   * Durable when resolved. Fails with STATE_UNAVAILABLE; the record is then written when that
   * becomes possible.
   */
  write(write: Write, record?: OperationRecord): Promise<void> {
    const written = this.#enqueue(write, record);
    this.catchUp();
    return written;
  }

  /**
   * The same for a write that need not be durable at once: it shares the sync of the next one that
   * must be, or comes alone after SOON_MS.
   */
  writeSoon(write: Write, record?: OperationRecord): Promise<void> {
    const written = this.#enqueue(write, record);
    if (this.#closed) this.catchUp();
    else
      this.#soon ??= setTimeout(() => {
        this.catchUp();
      }, SOON_MS);
    return written;
  }

  #enqueue(write: Write, record: OperationRecord | undefined): Promise<void> {
    if (!this.#state.writable) {
      this.options.unwritten.set(write, record);
      return Promise.reject(unavailable(this.#state.why));
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ write, record, resolve, reject });
    });
  }

  /** Writes what waits, if the store works. Call it after records were added to the unwritten. */
  catchUp(): void {
    const isWaiting = this.#queue.length + this.options.unwritten.size > 0;
    if (this.#state.writable && isWaiting) this.#writing ??= this.#drain();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.catchUp();
    await this.#writing;
    // Run again for records that are only in memory.
    if (this.options.unwritten.size > 0 && this.options.thread.idle) await (this.#trying ??= this.#try());
  }

  async #drain(): Promise<void> {
    const { thread, unwritten, clock, patienceMs } = this.options;
    clearTimeout(this.#soon);
    this.#soon = undefined;
    while (this.#queue.length + unwritten.size > 0 && this.#state.writable) {
      const taken = this.#queue.splice(0, MOST_WRITES);
      // A record that is to be removed may still be in the queue.
      const late = this.#queue.length > 0 ? [] : unwritten.writes;
      const writes = [...taken.map(({ write }) => write), ...late];
      try {
        const begun = performance.now();
        await thread.ask({ ask: 'write', writes, now: clock() }, patienceMs);
        this.options.onWrote?.((performance.now() - begun) / 1000);
        unwritten.written(late);
        for (const { resolve } of taken) resolve();
      } catch (error) {
        this.#fail(error, [...taken, ...this.#queue.splice(0)]);
      }
    }
    this.#writing = undefined;
  }

  #fail(error: unknown, waiting: readonly Waiting[]): void {
    const why = error instanceof JournalTrouble ? error.trouble.why : String(error);
    const failure = unavailable(why);
    for (const { write, record, reject } of waiting) {
      this.options.unwritten.set(write, record);
      reject(failure);
    }
    this.#state = { writable: false, why };
    this.#failedAt = this.options.clock();
    this.#retryMs = this.options.retryMs ?? RETRY_MS;
    this.options.onState(this.#state);
    this.#retryLater();
  }

  #retryLater(): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => {
      void this.#retry();
    }, this.#retryMs);
    this.#timer.unref();
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS);
  }

  async #retry(): Promise<void> {
    // A question behind one that hangs would only wait with it.
    if (this.options.thread.idle || this.#trying !== undefined) await (this.#trying ??= this.#try());
    if (!this.#state.writable) this.#retryLater();
  }

  /** Never rejects. */
  async #try(): Promise<void> {
    const { thread, unwritten, clock, patienceMs } = this.options;
    let caughtUp = 0;
    try {
      await thread.ask({ ask: 'mend' }, patienceMs);
      // Records that arrive during an attempt are added to it.
      while (unwritten.size > 0) {
        const { writes } = unwritten;
        await thread.ask({ ask: 'write', writes, now: clock() }, patienceMs);
        unwritten.written(writes);
        caughtUp += writes.length;
      }
      this.#state = { writable: true, failedMs: clock() - this.#failedAt, caughtUp };
      clearTimeout(this.#timer);
      this.options.onState(this.#state);
    } catch (error) {
      const why = error instanceof JournalTrouble ? error.trouble.why : String(error);
      const isNews = !this.#state.writable && this.#state.why !== why;
      this.#state = { writable: false, why };
      if (isNews) this.options.onState(this.#state);
    } finally {
      this.#trying = undefined;
    }
  }
}

function unavailable(why: string): HostlerError {
  return new HostlerError(
    'STATE_UNAVAILABLE',
    `the state folder of the daemon cannot be written: ${why}; nothing is changed until it can be, which is tried every few seconds`,
    { retryAfterMs: RETRY_MAX_MS },
  );
}
