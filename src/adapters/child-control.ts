import { HostlerError } from '../domain/errors.js';
import { errnoOf } from './errno.js';
import type { ToolCall } from './tool-call.js';

/** Ends a process group: TERM, then KILL. */
export class Ender {
  reason: Error | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly pid: number | undefined,
    private readonly graceMs: number,
  ) {}

  end(reason: Error): void {
    if (this.reason !== undefined) return;
    this.reason = reason;
    this.#kill('SIGTERM');
    this.#timer = setTimeout(() => {
      this.#kill('SIGKILL');
    }, this.graceMs);
  }

  sweep(): void {
    this.#kill('SIGKILL');
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #kill(signal: 'SIGTERM' | 'SIGKILL'): void {
    if (this.pid === undefined) return;
    try {
      process.kill(-this.pid, signal);
    } catch (error) {
      // Nobody of the group is left.
      if (errnoOf(error) !== 'ESRCH') throw error;
    }
  }
}

/** Wall and stall limits. */
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

export function limitExceeded(tool: string, limit: string, value: string): HostlerError {
  return new HostlerError('TOOL_LIMIT_EXCEEDED', `${tool} was ended by its limit ${limit} = ${value}`, {
    facts: { tool, limit, value },
  });
}
