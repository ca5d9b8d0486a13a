import { pipeline, Readable } from 'node:stream';
import { deferred } from '../../domain/model/async.js';
import { errnoOf } from '../linux/errno.js';
import type { Ended, Started } from './start/started.js';

/** Errors of writing input to a child that does not read it, or no longer does: not a failure. */
const UNREAD = ['EPIPE', 'ECONNRESET', 'ECANCELED', 'ERR_STREAM_PREMATURE_CLOSE', 'ERR_STREAM_DESTROYED'];

/**
 * A child that was started. It handles the errors of all its streams: an error event without a
 * listener would end the daemon.
 */
export class Child {
  readonly #abandoned = deferred<Ended>();
  /** Never rejects. */
  readonly ended: Promise<Ended>;
  /**
   * Resolves when all of its standard error was delivered to the listener, or the child was
   * abandoned. `onExit` comes earlier.
   */
  readonly errorsRead: Promise<void>;

  /** @param stdin input of the child; unset: none */
  constructor(
    private readonly child: Started,
    stdin: Uint8Array | Readable | undefined,
    onInputFailed: (error: Error) => void,
  ) {
    this.ended = Promise.race([child.ended, this.#abandoned.promise]);
    // The reader of the pipe gets its errors, but there may be no reader at this time.
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

  /** Called when the child has exited, before its output has been read. */
  onExit(listener: () => void): void {
    this.child.onExit(listener);
  }

  /** Stops waiting for the child: `ended` then says nothing about it. */
  abandon(): void {
    this.close();
    this.child.unref();
    this.#abandoned.resolve({});
  }

  /** Closes our ends of its pipes; their readers get an end of stream. */
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
