import { HostlerError } from '../model/errors.js';
import type { ExecuteResult } from '../operations/results.js';
import type { Run, Verb } from '../operations/verb.js';
import { sleepOrAborted } from '../model/async.js';
import type { CommandRule, CommandCall, CommandRunner } from '../ports/commands.js';
import type { Waiter } from '../model/waiter.js';

export interface ExecuteSpec {
  readonly name: string;
  readonly args: readonly string[];
  /** Used if it is shorter than the rule's. */
  readonly timeoutMs?: number;
  readonly attempts: number;
  readonly delayMs: number;
}

export interface ExecutePorts {
  readonly rules: readonly CommandRule[];
  readonly commands: CommandRunner;
}

/**
 * Checks before anything is begun whether the caller may run this. Fails with COMMAND_NOT_FOUND,
 * ARGUMENT_NOT_ALLOWED.
 */
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
 * Runs a configured command with allowed arguments, and again while its exit code is not accepted
 * and attempts are left. After a crash it has ended.
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
        if (attempt >= spec.attempts)
          throw notAccepted(spec.name, exitCode, call.stdin.length === 0 ? stderr : undefined);
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

/**
 * The error is stored and visible to others. A command with secrets on its standard input may have
 * printed them, so its output goes to its caller only, as it arrives.
 */
function notAccepted(name: string, exitCode: number, stderr: string | undefined): HostlerError {
  const words = stderr === undefined ? {} : { stderr: stderr.split('\n').at(-1) ?? '' };
  return new HostlerError('TOOL_FAILED', `${name} ended with exit code ${String(exitCode)}`, {
    facts: { tool: name, exit_code: String(exitCode), ...words },
  });
}
