import { HostlerError } from '../../domain/model/errors.js';
import { errnoOf } from '../linux/errno.js';
import type { ToolCall } from './tool-call.js';

/** A process group that a `GroupKiller` ends. */
export interface Endable {
  readonly pid: number;
  /** Closes our ends of its pipes. */
  close(): void;
  /** Called when the process cannot be ended: it is no longer waited for. */
  abandon(): void;
}

/**
 * Ends a process group: SIGTERM, then SIGKILL after the grace time. After another grace time it
 * stops waiting and closes our ends of pipes that are still open. A child that changed its user id
 * cannot be signalled by a daemon that is not root; it is abandoned.
 */
export class GroupKiller {
  readonly #over = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  /** Result of the last signal. */
  #swept: boolean | undefined;

  constructor(
    private readonly child: Endable,
    private readonly graceMs: number,
    private readonly onAbandoned: () => void,
  ) {}

  /** Aborted, with the reason, as soon as the child is to end. */
  get signal(): AbortSignal {
    return this.#over.signal;
  }

  /** Why the child is being ended; undefined while it may run. */
  get reason(): HostlerError | undefined {
    const reason: unknown = this.#over.signal.reason;
    return this.#over.signal.aborted && reason instanceof HostlerError ? reason : undefined;
  }

  end(reason: HostlerError): void {
    if (this.#over.signal.aborted) return;
    this.#over.abort(reason);
    this.#kill('SIGTERM');
    this.#timer = setTimeout(() => {
      const killed = this.#kill('SIGKILL');
      this.#timer = setTimeout(() => {
        this.child.close();
        if (killed) return;
        this.onAbandoned();
        this.child.abandon();
      }, this.graceMs);
    }, this.graceMs);
  }

  /**
   * Kills the rest of the group when the child has ended. Its process group id may soon be reused.
   */
  sweep(): void {
    this.#swept = this.#kill('SIGKILL');
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  /** False if only processes are left that may not be signalled. */
  #kill(signal: 'SIGTERM' | 'SIGKILL'): boolean {
    if (this.#swept !== undefined) return this.#swept;
    try {
      process.kill(-this.child.pid, signal);
      return true;
    } catch (error) {
      // ESRCH: the group is empty. Any other error must not end more than this call.
      return errnoOf(error) === 'ESRCH';
    }
  }
}

/** Enforces the wall-clock and stall limits. */
export class Watchdog {
  readonly #wall: NodeJS.Timeout | undefined;
  #stall: NodeJS.Timeout | undefined;

  constructor({ tool, limits: { wallMs, stallMs } }: ToolCall, end: (error: HostlerError) => void) {
    if (wallMs !== undefined)
      this.#wall = setTimeout(() => {
        end(limitExceeded(tool, 'wall_ms', String(wallMs)));
      }, wallMs);
    if (stallMs !== undefined) {
      this.#stall = setTimeout(() => {
        end(
          new HostlerError('STALLED', `${tool} showed no progress for ${String(stallMs)} ms`, {
            facts: { tool, stall_ms: String(stallMs) },
          }),
        );
      }, stallMs);
    }
  }

  beat(): void {
    this.#stall?.refresh();
  }

  stop(): void {
    clearTimeout(this.#wall);
    clearTimeout(this.#stall);
    this.#stall = undefined;
  }
}

/**
 * TOOL_LIMIT_EXCEEDED for a tool that was ended; `limit` is the option's name, `value` its setting
 * with the unit.
 */
export function limitExceeded(tool: string, limit: string, value: string): HostlerError {
  return new HostlerError('TOOL_LIMIT_EXCEEDED', `${tool} was ended by its limit ${limit} = ${value}`, {
    facts: { tool, limit, value },
  });
}
