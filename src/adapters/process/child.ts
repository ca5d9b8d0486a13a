import { spawn, type ChildProcess } from 'node:child_process';
import { pipeline, Readable, Writable } from 'node:stream';
import { deferred } from '../../domain/model/async.js';
import { errnoOf } from '../linux/errno.js';

/** How a child ended; neither is set when the runner no longer waits for it. */
export interface Ended {
  readonly exitCode?: number | undefined;
  readonly signal?: string | undefined;
}

export interface ChildOptions {
  readonly env: Readonly<Record<string, string>>;
  /** Its descriptors from 3 on. */
  readonly fds: readonly number[];
  /** Unset: none. */
  readonly stdin?: Uint8Array | Readable;
}

/** What a child answers to input that it does not read, or no longer reads: its own affair. */
const UNREAD = ['EPIPE', 'ECONNRESET', 'ECANCELED', 'ERR_STREAM_PREMATURE_CLOSE', 'ERR_STREAM_DESTROYED'];

/**
 * A child in a process group of its own. Whatever it and its pipes report is heard here, so that
 * none of it can be an event that nobody listens to, which would end the daemon. Node's own spawn:
 * a library between that touches the pipes first misses the error of a spawn for which there was no
 * descriptor.
 */
export class Child {
  readonly #child: ChildProcess;
  readonly #ended = deferred<Ended>();
  /** Fails when it could not be started. */
  readonly ended: Promise<Ended>;
  /**
   * All that came on its standard error was handed to who listens, or nobody waits for it any more.
   * An exit comes before that.
   */
  readonly errorsRead: Promise<void>;

  /** Fails with the system's error when it cannot be started; some such errors come by `ended`. */
  constructor(
    file: string,
    args: readonly string[],
    { env, fds, stdin }: ChildOptions,
    onInputFailed: (error: Error) => void,
  ) {
    this.#child = spawn(file, args, {
      stdio: [stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe', ...fds],
      env,
      detached: true,
    });
    const failed = new Promise<never>((_, reject) => this.#child.on('error', reject));
    this.ended = Promise.race([this.#ended.promise, failed]);
    this.ended.catch(() => undefined); // avoids unhandledRejection; awaited later
    this.#child.once('exit', (code, signal) => {
      this.#ended.resolve({ exitCode: code ?? undefined, signal: signal ?? undefined });
    });
    // The reader of the pipe gets its errors; there may be no reader yet, or none any more.
    for (const stream of [this.#child.stdin, this.stdout, this.stderr]) stream?.on('error', () => undefined);
    const { stderr } = this;
    this.errorsRead =
      stderr === undefined ? Promise.resolve() : new Promise((resolve) => stderr.once('close', resolve));
    if (stdin !== undefined) this.#feed(stdin, onInputFailed);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Undefined when there was no descriptor for it: then it has not started. */
  get stdout(): Readable | undefined {
    return this.#child.stdout ?? undefined;
  }

  get stderr(): Readable | undefined {
    return this.#child.stderr ?? undefined;
  }

  /** When it has exited, before what it printed has been read. */
  onExit(listener: () => void): void {
    this.#child.once('exit', listener);
  }

  /** Nobody waits for it any more: `ended` tells nothing of it. */
  abandon(): void {
    this.close();
    this.#child.unref();
    this.#ended.resolve({});
  }

  /** Closes our ends of its pipes; who reads them gets an end. */
  close(): void {
    for (const stream of [this.#child.stdin, this.stdout, this.stderr]) stream?.destroy();
  }

  #feed(input: Uint8Array | Readable, onFailed: (error: Error) => void): void {
    const { stdin } = this.#child;
    if (!(stdin instanceof Writable)) return;
    const source = input instanceof Readable ? input : Readable.from([input]);
    pipeline(source, stdin, (error) => {
      if (error instanceof Error && !UNREAD.includes(errnoOf(error) ?? '')) onFailed(error);
    });
  }
}
