import { HostlerError } from '../../domain/model/errors.js';
import type { Try } from '../../domain/host/disk-driver.js';
import type { ProcessRunner } from './process.js';
import { plainRun } from '../../domain/ports/tools.js';

const LIMITS = { wallMs: 10_000 };

/** Runs a tool of the host that may be missing. A tool that hangs counts as failed. */
export function tryTool(runner: ProcessRunner): Try {
  return async (tool, ...args) => {
    const run = plainRun();
    try {
      const { code, stdout } = await runner.run({ tool, args, trusted: true, limits: LIMITS }, run);
      return code === 0 ? stdout : undefined;
    } catch (error) {
      if (error instanceof HostlerError && ['TOOL_MISSING', 'TOOL_LIMIT_EXCEEDED'].includes(error.reason))
        return undefined;
      throw error;
    }
  };
}
