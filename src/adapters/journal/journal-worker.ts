/**
 * The thread that has the journal open: a disk that hangs blocks this thread only. `thread.ts`
 * starts it.
 */
import { statSync, type BigIntStats } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import type { JournalAnswer, Asked, ThreadJob } from './messages.js';
import { makersIn } from './makers.js';
import { connect, forgetMove, isMoving, openJournal, rebuild, type OpenedJournal } from './opening.js';
import { Pruner } from './pruning.js';
import { assertOurs } from './schema.js';
import { JournalFile } from './journal-file.js';
import { troubleOf, withErrno } from './trouble.js';
import { WriteCountFile } from './write-count-file.js';

/** Rows that are deleted or checked in one slice; between slices, questions are answered. */
const SLICE = 16;
const VERIFIED = 100;
/**
 * The log is written into the file when it has this many pages of 4 KiB, or when nothing was
 * written for some time. All questions wait meanwhile: a disk takes about 10 ms for 1 MiB.
 */
const LOG_PAGES = 256;
const QUIET_MS = 2000;
/** Pause between slices, so that they take a small part of the time. */
const PAUSE_MS = 10;
const SLICE_PAUSE_MS = 25;

// eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- what JournalThread gave
const { path, countFile: countPath, limits } = workerData as ThreadJob;
const port = parentPort;
const LOG = `${path}-wal`;

class Journal {
  #file: JournalFile | undefined;
  #countFile: WriteCountFile | undefined;
  #pruner: Pruner | undefined;
  #identity = '';
  /** Identity of the log beside the file, which exists from the first change on. */
  #logIdentity: string | undefined;
  #now = 0;
  #verified: { table: 'operations' | 'entries'; row: number } | undefined = { table: 'entries', row: 0 };
  #timer: NodeJS.Timeout | undefined;
  /** Whether the log has been written into the file. */
  #logged = false;
  #wroteAt = 0;
  #written = 0;

  get #open(): JournalFile {
    if (this.#file === undefined) throw new Error('the journal is not open');
    return this.#file;
  }

  /** Answers a question. If the journal turns out to be damaged, it is made again. */
  answer(asked: Asked): JournalAnswer {
    const { number } = asked;
    try {
      return { number, ...this.#do(asked), ...this.#news() };
    } catch (error) {
      const trouble = withErrno(troubleOf(error), path);
      if (trouble.kind !== 'damaged' || this.#file === undefined) return { number, trouble, ...this.#news() };
      try {
        const moved = this.#rebuild(trouble.why);
        return { number, ...this.#do(asked), ...moved, ...this.#news() };
      } catch (again) {
        return { number, trouble: troubleOf(again) };
      }
    }
  }

  #do(asked: Asked): JournalAnswer {
    switch (asked.ask) {
      case 'open':
        return this.#live(openJournal(path, (this.#countFile = new WriteCountFile(countPath)), Date.now));
      case 'write':
        this.#write(asked);
        return { sizeBytes: sizeOf(path) + sizeOf(LOG) };
      case 'operation':
        return { rows: list(this.#open.operation(asked.id)) };
      case 'request':
        return { rows: list(this.#open.request(asked.text)) };
      case 'unfinished':
        return { rows: this.#open.unfinished() };
      case 'entries':
        return { rows: this.#open.entries(asked.kind) };
      case 'search':
        return { found: this.#open.search(asked.look) };
      case 'ended':
        return this.#open.ended(asked.look);
      case 'makers':
        return { makers: makersIn(this.#open.latest(asked.made)) };
      case 'mend':
        return this.#mend();
      case 'settled':
        forgetMove(this.#open);
        return {};
      case 'close':
        this.#close();
        return {};
    }
  }

  /** Each life begins with a durable change, whose number no other life has. */
  #live(opened: OpenedJournal): JournalAnswer {
    const answer = this.#begin(opened);
    return { ...answer, life: opened.file.writes };
  }

  #begin({ file, moved }: OpenedJournal): JournalAnswer {
    if (this.#file !== undefined) file.latestEnd = this.#file.latestEnd;
    this.#file = file;
    this.#identity = identityOf(path);
    // A disk that accepts no writes is detected here rather than after the first answer.
    file.transaction(() => undefined);
    this.#logIdentity = logIdentity();
    this.#wrote(file);
    const sizeBytes = sizeOf(path) + sizeOf(LOG);
    return { asideCount: file.asideCount(), sizeBytes, ...(moved === undefined ? {} : { moved }) };
  }

  #write({ writes, now }: Extract<Asked, { ask: 'write' }>): void {
    this.#now = now;
    const file = this.#open;
    this.#assertInPlace();
    file.write(writes);
    this.#wrote(file);
  }

  /**
   * Writes to files that were removed, or are covered by another filesystem, would be lost when
   * this process ends, and SQLite does not notice.
   */
  #assertInPlace(): void {
    if (identityOf(path) !== this.#identity) throw new Error(`${path} is another file than the one that is open`);
    if (logIdentity() !== this.#logIdentity) throw new Error(`${LOG} is another file than the one that is open`);
  }

  #wrote(file: JournalFile): void {
    this.#written = file.writes;
    this.#countFile?.write(file.writes);
    this.#logged = false;
    this.#wroteAt = Date.now();
    this.#later(PAUSE_MS);
  }

  /**
   * Continues after a failure from the state of the disk, as if the file had just been opened.
   * Durable on return.
   */
  #mend(): JournalAnswer {
    if (this.#countFile !== undefined && isMoving(path))
      return this.#begin(openJournal(path, this.#countFile, Date.now));
    const file = this.#reopen();
    file.transaction(() => undefined);
    this.#logIdentity = logIdentity();
    // Pages that a failed sync left only in the page cache are written into the file again.
    file.checkpoint('TRUNCATE');
    this.#wrote(file);
    return {};
  }

  /**
   * The open file, or the file opened again. A file with fewer changes than this one is not opened:
   * reads continue in the old one.
   */
  #reopen(): JournalFile {
    const identity = identityOf(path);
    if (identity === this.#identity && this.#file?.database.isOpen === true) {
      if (logIdentity() === this.#logIdentity) return this.#file;
      // The log is still open here and is written into the file.
      this.#file.checkpoint('TRUNCATE');
      this.#file.database.close();
    }
    // Another filesystem is mounted at the path, or the same one was mounted again.
    const database = connect(path);
    try {
      assertOurs(database, path);
      const { writes } = new JournalFile(database, Date.now);
      if (writes < this.#written)
        throw new Error(`${path} is an older one: it ends at ${String(writes)} of ${String(this.#written)} changes`);
    } finally {
      // Close it before the old file, whose close may remove the log at the path.
      database.close();
    }
    if (this.#file?.database.isOpen === true) this.#file.database.close();
    const file = new JournalFile(connect(path), Date.now);
    if (this.#file !== undefined) file.latestEnd = this.#file.latestEnd;
    this.#file = file;
    this.#identity = identity;
    return this.#file;
  }

  #rebuild(why: string): JournalAnswer {
    const { database, latestEnd } = this.#open;
    const { file, moved } = rebuild(path, { database, latestEnd, writes: this.#written }, why, Date.now);
    return this.#begin(moved === undefined ? { file } : { file, moved });
  }

  #close(): void {
    clearTimeout(this.#timer);
    this.#file?.database.close();
    this.#file = undefined;
    this.#countFile?.close();
  }

  #later(ms: number): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#tidy();
    }, ms);
  }

  /** Runs one slice of background work. */
  #tidy(): void {
    if (this.#file === undefined) return;
    try {
      const more = [this.#forget(), this.#verify()].includes(true);
      this.#log();
      if (more) this.#later(SLICE_PAUSE_MS);
      else if (!this.#logged) this.#later(QUIET_MS);
      this.#tell(this.#news());
    } catch (error) {
      const trouble = troubleOf(error);
      if (trouble.kind !== 'damaged') {
        this.#tell({ failed: trouble });
        return;
      }
      try {
        this.#tell(this.#rebuild(trouble.why));
      } catch (again) {
        this.#tell({ failed: troubleOf(again) });
      }
    }
  }

  #forget(): boolean {
    const now = Math.max(this.#now, 0);
    if (now === 0) return false;
    const file = this.#open;
    const pruner = this.#pruner?.file === file ? this.#pruner : (this.#pruner = new Pruner(file, limits));
    const { gone, more } = pruner.slice(now, SLICE);
    // The count file is not updated: it must not be ahead of the disk.
    if (gone > 0) this.#logged = false;
    return more;
  }

  #verify(): boolean {
    if (this.#verified === undefined) return false;
    const { table, row } = this.#verified;
    const next = this.#open.verify(table, row, VERIFIED);
    if (next !== undefined) this.#verified = { table, row: next };
    else this.#verified = table === 'entries' ? { table: 'operations', row: 0 } : undefined;
    return true;
  }

  #log(): void {
    if (this.#logged) return;
    const quiet = Date.now() - this.#wroteAt >= QUIET_MS;
    if (!quiet && this.#open.logPages() < LOG_PAGES) return;
    this.#open.checkpoint('PASSIVE');
    this.#logged = true;
  }

  #news(): JournalAnswer {
    const found = this.#file?.found.splice(0) ?? [];
    return found.length === 0 ? {} : { aside: found, asideCount: this.#open.asideCount() };
  }

  #tell(answer: JournalAnswer): void {
    if (Object.keys(answer).length > 0) port?.postMessage(answer);
  }
}

function list<T>(item: T | undefined): T[] {
  return item === undefined ? [] : [item];
}

function identityOf(file: string): string {
  const stat = statSync(file, { bigint: true, throwIfNoEntry: false });
  if (stat === undefined) throw new Error(`${file} is not there any more (ENOENT); put it back`);
  return numbersOf(stat);
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}

function logIdentity(): string | undefined {
  const stat = statSync(LOG, { bigint: true, throwIfNoEntry: false });
  return stat && numbersOf(stat);
}

function numbersOf({ dev, ino }: BigIntStats): string {
  return `${String(dev)}:${String(ino)}`;
}

const journal = new Journal();
port?.on('message', (asked: Asked) => {
  port.postMessage(journal.answer(asked));
});
