import { HostlerError, invalidFields } from '../../domain/model/errors.js';
import type { ProcessRunner } from '../process/process.js';
import type { ToolRun } from '../../domain/ports/tools.js';

/** The highest id that is not "no change" to chown(2). */
const MAX_ID = 2 ** 32 - 2;
/**
 * Exit code of getent(1) when its services do not know the name. Any other code is a failure of
 * those services.
 */
const NOT_FOUND = 2;
const LOOKUP_LIMITS = { wallMs: 10_000 };

/** Translates names of users and groups to numeric ids by the system's name service. */
export class Owners {
  constructor(private readonly runner: ProcessRunner) {}

  /**
   * Fails with INVALID_FIELD, naming the field, if no user or group has the name; with TOOL_FAILED
   * or TOOL_MISSING if that cannot be determined.
   */
  async id(kind: 'owner' | 'group', text: string, tool: ToolRun, field: string): Promise<number> {
    if (/^[0-9]{1,10}$/.test(text) && Number(text) <= MAX_ID) return Number(text);
    const unknown = invalidFields([{ field, description: `there is no such ${kind === 'owner' ? 'user' : 'group'}` }]);
    if (!/^[^\s:,-][^\s:,]*$/.test(text)) throw unknown;
    const database = kind === 'owner' ? 'passwd' : 'group';
    const { code, stdout, stderr } = await this.runner.run(
      { tool: 'getent', args: [database, text], trusted: true, limits: LOOKUP_LIMITS, answers: [0, NOT_FOUND] },
      tool,
    );
    if (code !== 0 && code !== NOT_FOUND) throw notAsked(database, code, stderr);
    const [name, , id] = stdout.split('\n')[0]?.split(':') ?? [];
    if (code !== 0 || name !== text || id === undefined) throw unknown;
    return Number(id);
  }
}

/** The name service failed, which says nothing about the name. */
function notAsked(database: string, code: number | null | undefined, stderr: string): HostlerError {
  const lastLine = stderr.trim().split('\n').at(-1) ?? '';
  const end = code === null || code === undefined ? 'was ended' : `exits ${String(code)}`;
  return new HostlerError('TOOL_FAILED', `getent ${database} ${end}${lastLine === '' ? '' : `: ${lastLine}`}`, {
    facts: { tool: 'getent', stderr: lastLine },
  });
}
