import type { ProcessRunner } from './process.js';
import { open } from 'node:fs/promises';
import { constants } from 'node:fs';
import { asHostlerError } from '../../domain/model/errors.js';
import { plainRun } from '../../domain/ports/tools.js';

/** Runs a tool in the sandbox with a file to read. Returns what is wrong if that does not work. */
export async function trySandbox(runner: ProcessRunner): Promise<string | undefined> {
  const file = await open(process.execPath, constants.O_RDONLY);
  const run = plainRun(AbortSignal.timeout(TRY_MS));
  const read = { handle: { fd: file.fd, close: () => file.close() } };
  try {
    const { code, stderr } = await runner.run(
      { tool: 'test', args: ['-r', [{ read }]], limits: { wallMs: TRY_MS } },
      run,
    );
    return code === 0 ? undefined : `bwrap: exit code ${String(code)} ${stderr.trim()}`;
  } catch (error) {
    return asHostlerError(error).message;
  } finally {
    await file.close();
  }
}

export const TRY_MS = 10_000;
