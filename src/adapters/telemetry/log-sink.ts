import { fstatSync, write } from 'node:fs';
import { Socket } from 'node:net';
import { promisify } from 'node:util';
import { pause } from '../../domain/model/async.js';

/** Lines that wait for a reader; what comes when so much waits is counted only. */
const MOST_WAITING_BYTES = 1024 * 1024;
/** Written in one go. */
const BATCH_BYTES = 64 * 1024;
/** After an error the next attempt comes so much later at the earliest, with the next line. */
const RETRY_MS = 1000;

/** Writes all of it, or fails; says how much was written when only a part was. */
type Write = (bytes: Buffer) => Promise<number>;

/**
 * Lines for a descriptor that may fail: its reader has gone, its disk is full, nothing reads it.
 * The writer never gets an error, and the memory is bounded: lines that cannot be written are lost,
 * and their number is the first line when writing works again.
 */
export class LogSink {
  #waiting: string[] = [];
  #waitingBytes = 0;
  #working: Promise<void> | undefined;
  #retryAt = -Infinity;
  /** Lost lines that are not reported yet. */
  #lost = 0;
  #lostEver = 0;
  /** A line may stand there half. */
  #torn = false;
  readonly #write: Write;

  constructor(fd: number) {
    this.#write = writerOf(fd);
  }

  /** Lines that were lost, in all. */
  get lost(): number {
    return this.#lostEver;
  }

  /** One line, with its end. */
  write(line: string): void {
    if (this.#waitingBytes + line.length > MOST_WAITING_BYTES || performance.now() < this.#retryAt) {
      this.#lose(1);
      return;
    }
    this.#waiting.push(line);
    this.#waitingBytes += line.length;
    this.#working ??= this.#writeAll();
  }

  /** Until all that waits is written or lost, for so long at the most. */
  async flush(ms: number): Promise<void> {
    await pause(ms, this.#working ?? Promise.resolve());
  }

  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const lines = this.#next();
      const lost = this.#lost;
      const report = lost === 0 ? [] : [lostLine(lost)];
      const bytes = Buffer.from([this.#torn ? '\n' : '', ...report, ...lines].join(''));
      // The lines are counted as lost below; the log cannot say more while it cannot be written.
      const done = await this.#write(bytes).catch(() => 0);
      if (done > 0) this.#torn = bytes[done - 1] !== NEWLINE;
      if (done === bytes.length) {
        this.#lost -= lost;
        continue;
      }
      this.#retryAt = performance.now() + RETRY_MS;
      this.#lose(lines.length + this.#waiting.length);
      [this.#waiting, this.#waitingBytes] = [[], 0];
    }
    this.#working = undefined;
  }

  #next(): string[] {
    let [count, bytes] = [0, 0];
    for (const { length } of this.#waiting) {
      if (count > 0 && bytes + length > BATCH_BYTES) break;
      [count, bytes] = [count + 1, bytes + length];
    }
    this.#waitingBytes -= bytes;
    return this.#waiting.splice(0, count);
  }

  #lose(lines: number): void {
    this.#lost += lines;
    this.#lostEver += lines;
  }
}

const NEWLINE = 10;

function lostLine(lines: number): string {
  const time = new Date().toISOString();
  return `${JSON.stringify({ level: 'warn', message: 'lines of this log were lost', lines, time })}\n`;
}

function writerOf(fd: number): Write {
  const stat = fstatSync(fd);
  return stat.isFIFO() || stat.isSocket() ? streamWriter(fd) : fileWriter(fd);
}

/** A pipe or socket that is full holds up nobody: the event loop hears when there is room again. */
function streamWriter(fd: number): Write {
  let socket: Socket | undefined;
  return (bytes) =>
    new Promise((resolve, reject) => {
      if (socket?.destroyed !== false) {
        socket = new Socket({ fd, readable: false, writable: true });
        // The writer gets the error; Node keeps descriptors 0 to 2 open, and another reader may
        // come.
        socket.on('error', () => undefined);
      }
      socket.write(bytes, (error) => {
        if (error instanceof Error) reject(error);
        else resolve(bytes.length);
      });
    });
}

const writeSome = promisify(write);

/** In a thread of the pool: a disk that hangs holds one of them. */
function fileWriter(fd: number): Write {
  return async (bytes) => {
    let done = 0;
    while (done < bytes.length) {
      try {
        done += (await writeSome(fd, bytes, done, bytes.length - done, null)).bytesWritten;
      } catch (error) {
        if (done === 0) throw error;
        return done;
      }
    }
    return done;
  };
}
