import type { Waiter } from '../model/waiter.js';
import type { ToolRun } from './tools.js';

/** Of a command's output. */
export interface OutputPiece {
  readonly stream: 'stdout' | 'stderr';
  readonly data: Uint8Array;
}

/** Which arguments a command may be given. */
export interface ArgumentRule {
  /**
   * The place of the first argument that it may not be given; undefined: there is none. Fails with
   * the signal's reason.
   */
  misfit(args: readonly string[], waiter: Waiter): Promise<number | undefined>;
}

/** A command that the operator has named. */
export interface CommandRule {
  readonly name: string;
  /** Absolute path. */
  readonly executable: string;
  readonly arguments: ArgumentRule;
  /** Unset: as the daemon. */
  readonly user?: string;
  readonly timeoutMs: number;
  readonly exitCodes: readonly number[];
}

export interface CommandCall {
  readonly rule: CommandRule;
  readonly args: readonly string[];
  readonly timeoutMs: number;
  readonly stdin: Uint8Array;
}

/**
 * Runs a command. The signal of a piece says that the command is ended, by whatever limit: nobody
 * waits for a reader any more. Fails with TOOL_MISSING, TOOL_LIMIT_EXCEEDED.
 */
export interface CommandRunner {
  run(
    call: CommandCall,
    tool: ToolRun,
    onPiece: (piece: OutputPiece, signal: AbortSignal) => Promise<void>,
  ): Promise<{ readonly exitCode: number; readonly stderr: string }>;
}
