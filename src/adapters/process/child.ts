import { pipeline, Readable } from 'node:stream';
import { deferred } from '../../domain/model/async.js';
import { errnoOf } from '../linux/errno.js';
import type { Ended, Started } from './start/started.js';

/** What a child answers to input that it does not read, or no longer reads: its own affair. */
const UNREAD = ['EPIPE', 'ECONNRESET', 'ECANCELED', 'ERR_STREAM_PREMATURE_CLOSE', 'ERR_STREAM_DESTROYED'];

/**
 * A child that was started. Whatever its streams report is heard here, so that none of it can be an
 * event that nobody listens to, which would end the daemon.
 */
export class Child {
  readonly #abandoned = deferred<Ended>();
  /** Never fails. */
  readonly ended: Promise<Ended>;
  /**
   * All that came on its standard error was handed to who listens, or nobody waits for it any more.
   * An exit comes before that.
   */
  readonly errorsRead: Promise<void>;

  /** @param stdin what it reads; unset: nothing */
  constructor(
    private readonly child: Started,
    stdin: Uint8Array | Readable | undefined,
    onInputFailed: (error: Error) => void,
  ) {
    this.ended = Promise.race([child.ended, this.#abandoned.promise]);
    // The reader of the pipe gets its errors; there may be no reader yet, or none any more.
    for (const stream of this.#streams) stream.on('error', () => undefined);
    this.errorsRead = new Promise((resolve) => child.stderr.once('close', resolve));
    if (stdin !== undefined) this.#feed(stdin, onInputFailed);
  }

  get pid(): number {
    return this.child.pid;
  }

  get stdout(): Readable {
    return this.child.stdout;
  }

  get stderr(): Readable {
    return this.child.stderr;
  }

  /** When it has exited, before what it printed has been read. */
  onExit(listener: () => void): void {
    this.child.onExit(listener);
  }

  /** Nobody waits for it any more: `ended` tells nothing of it. */
  abandon(): void {
    this.close();
    this.child.unref();
    this.#abandoned.resolve({});
  }

  /** Closes our ends of its pipes; who reads them gets an end. */
  close(): void {
    for (const stream of this.#streams) stream.destroy();
  }

  get #streams() {
    const { stdin, stdout, stderr } = this.child;
    return [...(stdin === undefined ? [] : [stdin]), stdout, stderr];
  }

  #feed(input: Uint8Array | Readable, onFailed: (error: Error) => void): void {
    const { stdin } = this.child;
    if (stdin === undefined) return;
    const source = input instanceof Readable ? input : Readable.from([input]);
    pipeline(source, stdin, (error) => {
      if (error instanceof Error && !UNREAD.includes(errnoOf(error) ?? '')) onFailed(error);
    });
  }
}
