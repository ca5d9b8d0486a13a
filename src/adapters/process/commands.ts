import { constants } from 'node:os';
import { HostlerError } from '../../domain/model/errors.js';
import type { ProcessRunner } from './process.js';
import type { CommandCall, CommandRunner, OutputPiece } from '../../domain/ports/commands.js';
import type { ToolRun } from '../../domain/ports/tools.js';

const LOOKUP_LIMITS = { wallMs: 10_000 };
/** A shell adds this to the number of the signal in an exit code. */
const SIGNALLED = 128;

/** Commands that the operator configured. They are trusted: they run outside the sandbox. */
export class ConfiguredCommands implements CommandRunner {
  constructor(private readonly runner: ProcessRunner) {}

  async run(
    { rule, args, timeoutMs, stdin }: CommandCall,
    tool: ToolRun,
    onPiece: (piece: OutputPiece, signal: AbortSignal) => Promise<void>,
  ): Promise<{ exitCode: number; stderr: string }> {
    const as = rule.user === undefined ? {} : { as: await this.#identity(rule.user, tool) };
    const limits = { wallMs: timeoutMs };
    const call = {
      tool: rule.executable,
      args,
      trusted: true,
      limits,
      ...(stdin.length === 0 ? {} : { stdin }),
      ...as,
    };
    const { code, signal, stderr } = await this.runner.pieces(call, tool, (stream, data, signal) =>
      onPiece({ stream, data }, signal),
    );
    return { exitCode: code ?? SIGNALLED + numberOf(signal), stderr };
  }

  async #identity(user: string, tool: ToolRun): Promise<{ uid: number; gid: number }> {
    const call = { tool: 'getent', args: ['passwd', user], trusted: true, limits: LOOKUP_LIMITS };
    const { code, stdout } = await this.runner.run(call, tool);
    const [, , uid, gid] = stdout.split('\n')[0]?.split(':') ?? [];
    if (code !== 0 || uid === undefined || gid === undefined)
      throw new HostlerError(
        'TOOL_FAILED',
        `the command is configured to run as ${user}, whom this host does not know`,
        {
          facts: { user },
        },
      );
    return { uid: Number(uid), gid: Number(gid) };
  }
}

function numberOf(signal: string | undefined): number {
  return Object.entries(constants.signals).find(([name]) => name === signal)?.[1] ?? 0;
}
