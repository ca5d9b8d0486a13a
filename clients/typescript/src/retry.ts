/** Calls that are made again: after a lost connection or a restart, or as the daemon asks. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ConnectionError, HostlerError, type ConnectionProblem } from './errors.js';

/** How often and how long a call is made again. */
export interface RetryPolicy {
  /** The first wait; each further one is twice as long, less a random part. Unset: 1 s. */
  readonly firstDelayMs?: number;
  /** The longest wait; unset: 60 s. RetryInfo of the daemon counts before both. */
  readonly maxDelayMs?: number;
  /** The last error is thrown when nothing has moved for so long. Unset: 5 minutes; 0: no retry. */
  readonly giveUpAfterMs?: number;
  /**
   * Reasons after which the same call is made again, besides SHUTTING_DOWN, AGENT_RESTARTED,
   * WATCHER_TOO_SLOW, and errors with RetryInfo: those that docs/errors.md marks with `later`.
   */
  readonly reasons?: readonly string[];
}

/** These do not go away by themselves. */
const LASTING: readonly ConnectionProblem[] = [
  'no-permission',
  'host-unknown',
  'certificate-name',
  'certificate-expired',
  'unknown-authority',
  'client-certificate-refused',
  'server-wants-tls',
  'server-without-tls',
  'no-daemon',
];
const REPEATED = ['SHUTTING_DOWN', 'AGENT_RESTARTED', 'WATCHER_TOO_SLOW'];

/** Whether the same call may succeed later by itself. */
export function isRepeatable(error: unknown, reasons: readonly string[] = []): error is HostlerError {
  if (error instanceof ConnectionError) return !LASTING.includes(error.problem);
  if (!(error instanceof HostlerError)) return false;
  return error.retryDelayMs !== undefined || REPEATED.includes(error.reason) || reasons.includes(error.reason);
}

/** The waits between the attempts of one call. */
export class Backoff {
  #attempts = 0;
  #since = performance.now();
  readonly #policy: RetryPolicy;

  constructor(policy: RetryPolicy = {}) {
    this.#policy = policy;
  }

  /** Something has moved: the next failure is the first one again. */
  reset(): void {
    this.#attempts = 0;
    this.#since = performance.now();
  }

  /** Waits for the next attempt. Throws the error itself if there is none. */
  async wait(error: unknown, signal?: AbortSignal): Promise<void> {
    const { firstDelayMs = 1000, maxDelayMs = 60_000, giveUpAfterMs = 300_000, reasons } = this.#policy;
    if (!isRepeatable(error, reasons)) throw error;
    const doubled = Math.min(maxDelayMs, firstDelayMs * 2 ** this.#attempts);
    const delay = error.retryDelayMs ?? doubled * (0.5 + Math.random() / 2);
    const left = giveUpAfterMs - (performance.now() - this.#since);
    if (left <= 0) throw error;
    this.#attempts++;
    try {
      await sleep(Math.min(delay, left), undefined, { signal });
    } catch (interrupted) {
      signal?.throwIfAborted();
      throw interrupted;
    }
  }
}

/**
 * Makes a call again until it succeeds, fails for good, or nothing has moved for too long. Only for
 * calls that may be made twice: reads, and changes with a request id.
 */
export async function retrying<T>(call: () => Promise<T>, policy?: RetryPolicy, signal?: AbortSignal): Promise<T> {
  const backoff = new Backoff(policy);
  for (;;) {
    try {
      return await call();
    } catch (error) {
      await backoff.wait(error, signal);
    }
  }
}
