import { setTimeout as sleep } from 'node:timers/promises';
import { HostlerError } from '../../domain/model/errors.js';
import type { OperationRecord } from '../../domain/operations/record.js';
import type { Write } from './rows.js';
import { JournalTrouble, type JournalThread } from './thread.js';
import type { Unwritten } from './unwritten.js';

/** A failed store is tried again after so long, then after twice as long, and so on. */
const RETRY_MS = 250;
export const RETRY_MAX_MS = 5000;
/** In one transaction, so that what others ask meanwhile is answered between two. */
const MOST_WRITES = 128;
/** A caller who wants to change something waits so long for the answer whether that works again. */
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
  /** A batch is durable, so long after it was handed over. */
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
 * Writes of one moment share a sync. After a failure nothing more is written until the disk takes
 * everything again that should be there; it is tried again by itself.
 */
export class Writer {
  #state: WriterState = { writable: true, failedMs: 0, caughtUp: 0 };
  readonly #queue: Waiting[] = [];
  #writing: Promise<void> | undefined;
  #failedAt = 0;
  #retryMs: number;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  /** Whether the disk takes everything again, being found out. */
  #trying: Promise<void> | undefined;

  constructor(private readonly options: WriterOptions) {
    this.#retryMs = options.retryMs ?? RETRY_MS;
  }

  get state(): WriterState {
    return this.#state;
  }

  /**
   * A failed store is tried again at once, so that nobody is refused for longer than it fails.
   * Fails with STATE_UNAVAILABLE.
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
   * Durable when resolved. Fails with STATE_UNAVAILABLE; then it is written when that is possible.
   */
  write(write: Write, record?: OperationRecord): Promise<void> {
    if (!this.#state.writable) {
      this.options.unwritten.set(write, record);
      return Promise.reject(unavailable(this.#state.why));
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ write, record, resolve, reject });
      this.#writing ??= this.#drain();
    });
  }

  /** Something was added to what is unwritten while the store works. */
  catchUp(): void {
    if (this.#state.writable) this.#writing ??= this.#drain();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#writing;
    // Once more, for what is in memory only.
    if (this.options.unwritten.size > 0 && this.options.thread.idle) await (this.#trying ??= this.#try());
  }

  async #drain(): Promise<void> {
    const { thread, unwritten, clock, patienceMs } = this.options;
    while (this.#queue.length + unwritten.size > 0 && this.#state.writable) {
      const taken = this.#queue.splice(0, MOST_WRITES);
      // A record that is to go may still be in the queue.
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
      // What ends meanwhile comes on top.
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
