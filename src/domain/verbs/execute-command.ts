import type { Waiter } from '../access/caller.js';
import { HostlerError } from '../model/errors.js';
import type { ExecuteResult } from '../operations/record.js';
import type { Run, Verb } from '../operations/verb.js';
import type { ToolRun } from '../ports/images.js';
import { sleepOrAborted } from '../model/async.js';

/** Which arguments a command may be given. */
export interface ArgumentRule {
  /** The place of the first argument that it may not be given; undefined: there is none. Fails with the signal's reason. */
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

export interface ExecuteSpec {
  readonly name: string;
  readonly args: readonly string[];
  /** Counts when it is shorter than the rule's. */
  readonly timeoutMs?: number;
  readonly attempts: number;
  readonly delayMs: number;
}

/** Of a command's output. */
export interface OutputPiece {
  readonly stream: 'stdout' | 'stderr';
  readonly data: Uint8Array;
}

export interface CommandCall {
  readonly rule: CommandRule;
  readonly args: readonly string[];
  readonly timeoutMs: number;
  readonly stdin: Uint8Array;
}

/**
 * Runs a command. The signal of a piece says that the command is ended, by whatever limit: nobody waits for a reader any more. Fails with
 * TOOL_MISSING, TOOL_LIMIT_EXCEEDED.
 */
export interface CommandRunner {
  run(
    call: CommandCall,
    run: ToolRun,
    onPiece: (piece: OutputPiece, signal: AbortSignal) => Promise<void>,
  ): Promise<{ readonly exitCode: number; readonly stderr: string }>;
}

export interface ExecutePorts {
  readonly rules: readonly CommandRule[];
  readonly commands: CommandRunner;
}

/** Before anything is begun: whether the caller may have this run. Fails with COMMAND_NOT_FOUND, ARGUMENT_NOT_ALLOWED. */
export async function assertAllowed(
  { name, args }: ExecuteSpec,
  rules: readonly CommandRule[],
  waiter: Waiter,
): Promise<void> {
  const place = await findRule(name, rules).arguments.misfit(args, waiter);
  if (place === undefined) return;
  const facts = { name, argument: String(place + 1) };
  throw new HostlerError('ARGUMENT_NOT_ALLOWED', `argument ${facts.argument} of ${name} matches none of its patterns`, {
    facts,
  });
}

/**
 * Runs a configured command whose arguments are allowed, again while its exit code is not accepted and attempts are left. After a crash it
 * is gone.
 */
export function executeCommand({ rules, commands }: ExecutePorts): Verb<ExecuteSpec, ExecuteResult> {
  return {
    name: 'Execute',
    slot: () => 'none',
    uses: () => [],

    async run(spec, run) {
      const rule = findRule(spec.name, rules);
      const timeoutMs = Math.min(rule.timeoutMs, spec.timeoutMs ?? rule.timeoutMs);
      const call = { rule, args: spec.args, timeoutMs, stdin: run.secrets['stdin'] ?? new Uint8Array() };
      for (let attempt = 1; ; attempt++) {
        const { exitCode, stderr } = await once(call, run, commands);
        if (rule.exitCodes.includes(exitCode)) return { kind: 'execute', exitCode, attempts: attempt };
        if (attempt >= spec.attempts) throw notAccepted(spec.name, exitCode, stderr);
        await sleepOrAborted(spec.delayMs, run.signal);
      }
    },
  };
}

async function once(call: CommandCall, run: Run, commands: CommandRunner) {
  await run.step('execute');
  return commands.run(call, run.tool(), (piece, signal) => run.output(piece, signal));
}

/** Fails with COMMAND_NOT_FOUND. */
function findRule(name: string, rules: readonly CommandRule[]): CommandRule {
  const rule = rules.find((candidate) => candidate.name === name);
  if (rule === undefined)
    throw new HostlerError('COMMAND_NOT_FOUND', `no command ${name} is configured`, { facts: { name } });
  return rule;
}

function notAccepted(name: string, exitCode: number, stderr: string): HostlerError {
  const said = stderr.split('\n').at(-1) ?? '';
  return new HostlerError('TOOL_FAILED', `${name} ended with exit code ${String(exitCode)}`, {
    facts: { tool: name, exit_code: String(exitCode), stderr: said },
  });
}
