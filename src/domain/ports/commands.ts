import type { Waiter } from '../model/waiter.js';
import type { ToolRun } from './tools.js';

/** A chunk of a command's output. */
export interface OutputPiece {
  readonly stream: 'stdout' | 'stderr';
  readonly data: Uint8Array;
}

/** The arguments that a command may be given. */
export interface ArgumentRule {
  /**
   * The index of the first argument that is not allowed; undefined: there is none. Fails with the
   * signal's reason.
   */
  misfit(args: readonly string[], waiter: Waiter): Promise<number | undefined>;
}

/** A command that the operator has configured. */
export interface CommandRule {
  readonly name: string;
  /** Absolute path. */
  readonly executable: string;
  readonly arguments: ArgumentRule;
  /** Unset: the daemon's user. */
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
 * Runs a command. The signal of a chunk is aborted when a limit ends the command: its reader is no
 * longer awaited. Fails with TOOL_MISSING, TOOL_LIMIT_EXCEEDED.
 */
export interface CommandRunner {
  run(
    call: CommandCall,
    tool: ToolRun,
    onPiece: (piece: OutputPiece, signal: AbortSignal) => Promise<void>,
  ): Promise<{ readonly exitCode: number; readonly stderr: string }>;
}
