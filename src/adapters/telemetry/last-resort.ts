import { errorText, type Log } from './log.js';

/**
 * So many exceptions that nobody caught within so long, and the daemon is not what it should be.
 */
const [MOST, WITHIN_MS] = [10, 60_000];

/**
 * Uncaught exceptions and unhandled rejections: a mistake of ours that must not end what others
 * have running. It is logged with its stack and counted, and the daemon continues; when exceptions
 * become many it stops in order, so that its service manager starts it afresh. See docs/adr.
 */
export class LastResort {
  #exceptions = 0;
  #rejections = 0;
  #recent: number[] = [];

  constructor(
    private readonly log: Log,
    private readonly clock: () => number,
    /** Ends the daemon in order, with an exit code that is not 0. */
    private readonly stop: () => void,
  ) {}

  get exceptions(): number {
    return this.#exceptions;
  }

  get rejections(): number {
    return this.#rejections;
  }

  /** A promise that nobody waited for harms nobody else: it is only counted. */
  rejection(cause: unknown): void {
    this.#rejections += 1;
    this.log.error('a failure that nobody waited for', { cause: errorText(cause) });
  }

  exception(cause: unknown): void {
    this.#exceptions += 1;
    this.log.error('an exception that nobody caught', { cause: errorText(cause) });
    const now = this.clock();
    this.#recent = [...this.#recent.filter((at) => now - at < WITHIN_MS), now];
    if (this.#recent.length < MOST) return;
    this.log.error('too many exceptions that nobody caught: the daemon stops', { exceptions: this.#recent.length });
    this.stop();
  }
}
