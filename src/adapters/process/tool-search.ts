import { access, constants } from 'node:fs/promises';
import { dirname } from 'node:path';
import { HostlerError } from '../../domain/model/errors.js';
import { POOL_PLACES } from '../gates/pool-places.js';

/** Time limit for one folder of PATH, which may lie on a server that is gone. */
const PATIENCE_MS = 2000;

/**
 * The first of these paths that is a program. Fails with TOOL_MISSING, and with ROOT_STALLED if it
 * may lie in a folder that does not answer.
 */
export async function firstProgram(tool: string, paths: readonly string[]): Promise<string> {
  let silent: string | undefined;
  for (const path of paths) {
    const folder = dirname(path);
    const look = { filesystem: folder, patienceMs: PATIENCE_MS };
    const found = await POOL_PLACES.inTime(
      look,
      () => isProgram(path),
      (late) => void late,
    );
    if (found === 'late') silent = folder;
    else if (found.value) return path;
  }
  if (silent === undefined) throw new HostlerError('TOOL_MISSING', `${tool} is not installed`, { facts: { tool } });
  throw new HostlerError('ROOT_STALLED', `${tool} is not found: ${silent} in PATH does not answer`, {
    facts: { tool, path: silent, waited_ms: String(PATIENCE_MS) },
    retryAfterMs: PATIENCE_MS,
  });
}

function isProgram(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false, // missing or not executable: the search continues in the next folder
  );
}
