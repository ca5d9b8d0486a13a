/**
 * Stops the daemon: by a signal, or after too many errors. In any state it ends in bounded time.
 */
import { errorText, type Log } from '../adapters/telemetry/log.js';
import type { Operations } from '../domain/operations/engine.js';
import { pause } from '../domain/model/async.js';

/** Limit for closing all resources. */
const CLOSE_MS = 10_000;

export interface RunningServices {
  readonly operations: Operations;
  /**
   * Running operations get the first time, then are cancelled; those that have not ended after the
   * second are left to the next start.
   */
  readonly times: { readonly graceMs: number; readonly giveUpMs: number };
  /** Not awaited: notifies others that the daemon stops. */
  readonly begin: () => void;
  /** Called in this order; one that fails or hangs does not prevent the others. */
  readonly close: readonly (() => Promise<unknown> | undefined)[];
}

/** Stops the daemon once, by signal or by error, in bounded time, and ends the process. */
export class Stopping {
  #serving: RunningServices | undefined;
  #stopping = false;

  constructor(
    private readonly log: Log,
    /** Ends the process. */
    private readonly end: (code: number) => Promise<never>,
  ) {}

  /**
   * From now on a signal stops the daemon; before it serves, at once, because no work is running
   * that the next start would not find.
   */
  listen(): void {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => this.stop(signal, 0));
  }

  get isServing(): boolean {
    return this.#serving !== undefined;
  }

  serves(serving: RunningServices): void {
    this.#serving = serving;
  }

  /** A second call cancels running work at once. */
  stop(signal: string, code: number): void {
    if (this.#stopping) {
      this.log.warn('STOPPING at once', { signal });
      this.#serving?.operations.cancelAll();
      return;
    }
    this.#stopping = true;
    this.log.info('STOPPING', { signal, running: this.#serving?.operations.live.size ?? 0 });
    void this.#stop(this.#serving)
      .catch((error: unknown) => {
        this.log.error('the daemon could not stop in order', { cause: errorText(error) });
      })
      .then(() => {
        this.log.info('STOPPED');
        return this.end(code);
      });
  }

  async #stop(serving: RunningServices | undefined): Promise<void> {
    if (serving === undefined) return;
    const drained = serving.operations.drain(serving.times);
    serving.begin();
    for (const { id, method, addresses, phase } of await drained)
      this.log.error('an operation does not end: it is left to the next start', {
        operation_id: id,
        method,
        addresses,
        phase,
      });
    const closing = { done: false };
    const closed = this.#close(serving.close).then(() => {
      closing.done = true;
    });
    await pause(CLOSE_MS, closed);
    if (!closing.done) this.log.error('what is open cannot be closed in time');
  }

  async #close(steps: RunningServices['close']): Promise<void> {
    for (const step of steps) {
      try {
        await step();
      } catch (error) {
        this.log.error('something could not be closed', { cause: errorText(error) });
      }
    }
  }
}
