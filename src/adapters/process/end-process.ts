import { takeCoverage } from 'node:v8';
import { errnoOf } from '../linux/errno.js';

/** Node's resources for pending calls into a filesystem. */
const FILE_CALLS = ['FSReqCallback', 'FSReqPromise'];

/**
 * Ends the process now, whatever its threads wait for: `process.exit` waits for each thread that a
 * filesystem blocks, without a limit. So it ends through the system's own `_exit`; on a host
 * without a build of koffi, by SIGKILL if some call hangs.
 */
export async function endProcess(code: number): Promise<never> {
  takeCoverage(); // an orderly exit would write the coverage; without coverage this does nothing
  const koffi = await import('koffi').catch((error: unknown) => {
    if (errnoOf(error) === 'ERR_MODULE_NOT_FOUND') return undefined;
    throw error;
  });
  const exit: ((code: number) => unknown) | undefined = koffi?.default.load(null).func('_exit', 'void', ['int']);
  exit?.(code);
  if (process.getActiveResourcesInfo().some((name) => FILE_CALLS.includes(name))) process.kill(process.pid, 'SIGKILL');
  process.exit(code);
}
