import { constants } from 'node:fs';
import { open, stat, type FileHandle } from 'node:fs/promises';
import type { AuditEntry, AuditTrail } from '../../domain/access/audit.js';
import { HostlerError } from '../../domain/model/errors.js';
import { deferred, pause } from '../../domain/model/async.js';
import { errnoOf } from '../linux/errno.js';

const MODE = 0o600;
const { O_APPEND, O_CREAT, O_WRONLY, O_NOFOLLOW } = constants;
/** Lines that wait for a log that cannot be written; more are counted only. */
const MOST_KEPT = 10_000;

export interface AuditOptions {
  readonly file: string;
  /** Nothing is changed that could not be written down first. */
  readonly required: boolean;
  readonly onFailed: (cause: unknown) => void;
  /** A disk that has not answered for so long does not: nobody waits for it until it does. */
  readonly patienceMs: number;
}

interface Waiting {
  readonly line: string;
  readonly done: (error: HostlerError | undefined) => void;
  /** Written later when it cannot be written now. */
  readonly keep: boolean;
}

/**
 * JSON lines, appended to a file of their own. A file that was moved away is made anew, so that it
 * can be rotated at any time.
 */
export class AuditLog implements AuditTrail {
  #file: FileHandle | undefined;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;
  #kept: string[] = [];
  #lost = 0;
  /** A line may stand there half. */
  #torn = false;
  /** A caller has waited too long for the line that is being written. */
  #overdue = false;

  constructor(private readonly options: AuditOptions) {}

  async begin(entry: Omit<AuditEntry, 'event'>): Promise<void> {
    if (!this.options.required) return;
    const error = await this.#write({ event: 'begin', ...entry }, false);
    if (error !== undefined) throw error;
  }

  async end(entry: AuditEntry): Promise<void> {
    await this.#write(entry, true);
  }

  /**
   * Opens the file, so that a file that cannot be opened is reported at the start. Fails with the
   * system's error.
   */
  async open(): Promise<void> {
    const { file } = this.options;
    const now = await stat(file).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    });
    const mine = await this.#file?.stat();
    if (now !== undefined && now.ino === mine?.ino && now.dev === mine.dev) return;
    const opened = await open(file, O_APPEND | O_CREAT | O_WRONLY | O_NOFOLLOW, MODE);
    const before = this.#file;
    this.#file = opened;
    await before?.close();
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#file?.close();
  }

  /** Why it is not written, or not yet. What is to be kept stands in the queue all the same. */
  async #write(entry: AuditEntry, keep: boolean): Promise<HostlerError | undefined> {
    if (this.#overdue && !keep) return failed('it does not answer', undefined);
    if (this.#waiting.length >= MOST_KEPT) {
      this.#lost += 1;
      return failed('too many lines wait for it', undefined);
    }
    const { promise, resolve } = deferred<HostlerError | undefined>();
    const waiting = { line: lineOf(entry), keep, done: resolve };
    this.#waiting.push(waiting);
    this.#writing ??= this.#writeAll();
    if (this.#overdue) return failed('it does not answer', undefined);
    return this.#inTime(waiting, promise);
  }

  async #inTime(waiting: Waiting, written: Promise<HostlerError | undefined>): Promise<HostlerError | undefined> {
    const state = { over: false };
    const over = written.then(() => {
      state.over = true;
    });
    await pause(this.options.patienceMs, over);
    if (state.over) return written;
    this.#overdue = true;
    // Nothing will be done for which this line was to stand there first.
    if (!waiting.keep) this.#waiting = this.#waiting.filter((each) => each !== waiting);
    const failure = failed('it does not answer', undefined);
    this.options.onFailed(failure);
    return failure;
  }

  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      const failure = await this.#append([...this.#kept, ...batch.map(({ line }) => line)]);
      if (failure === undefined) this.#kept = [];
      else this.#keep(batch);
      this.#overdue = false;
      for (const { done } of batch) done(failure);
    }
    this.#writing = undefined;
  }

  async #append(lines: readonly string[]): Promise<HostlerError | undefined> {
    const lost =
      this.#lost === 0 ? [] : [`${JSON.stringify({ time: new Date(), event: 'lost', lines: this.#lost })}\n`];
    const bytes = Buffer.from(`${this.#torn ? '\n' : ''}${[...lost, ...lines].join('')}`);
    try {
      await this.open();
      const { bytesWritten } = (await this.#file?.write(bytes)) ?? { bytesWritten: 0 };
      this.#torn = bytesWritten !== bytes.length && bytesWritten > 0;
      if (bytesWritten !== bytes.length)
        throw new Error(`wrote ${String(bytesWritten)} of ${String(bytes.length)} bytes`);
      if (this.options.required) await this.#file?.datasync();
      this.#lost = 0;
      return undefined;
    } catch (cause) {
      this.options.onFailed(cause);
      return failed(errnoOf(cause) ?? String(cause), cause);
    }
  }

  #keep(batch: readonly Waiting[]): void {
    this.#kept.push(...batch.flatMap(({ line, keep }) => (keep ? [line] : [])));
    this.#lost += this.#kept.splice(MOST_KEPT).length;
  }
}

function failed(why: string, cause: unknown): HostlerError {
  return new HostlerError('AUDIT_FAILED', `the audit log cannot be written: ${why}`, { cause, retryAfterMs: 1000 });
}

function lineOf({ event, onBehalfOf, requestId, operationIds, leftOut, deniedPaths, ...rest }: AuditEntry): string {
  const { caller, peer, rpc, paths, result, ms } = rest;
  const fields = {
    time: new Date(),
    event,
    caller,
    on_behalf_of: onBehalfOf,
    peer,
    rpc,
    paths,
    denied_paths: deniedPaths,
    request_id: requestId,
    operation_ids: operationIds,
    result,
    ms,
    left_out: leftOut,
  };
  return `${JSON.stringify(fields)}\n`;
}

/** Where no audit log is configured. */
const nothing = () => Promise.resolve();
export const NO_AUDIT: AuditTrail = { begin: nothing, end: nothing, close: nothing };
