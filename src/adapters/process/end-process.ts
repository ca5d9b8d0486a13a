import { takeCoverage } from 'node:v8';
import { errnoOf } from '../linux/errno.js';

/** Resources of Node that show a call into a filesystem which has no answer yet. */
const FILE_CALLS = ['FSReqCallback', 'FSReqPromise'];

/**
 * Ends the process now, whatever its threads wait for: `process.exit` waits for each thread that a
 * filesystem holds, for ever when that does not answer. So it ends through the system's own
 * `_exit`; on a host for which koffi has no build, by SIGKILL when something hangs.
 */
export async function endProcess(code: number): Promise<never> {
  takeCoverage(); // which an orderly exit would write; nothing unless it is asked for
  const koffi = await import('koffi').catch((error: unknown) => {
    if (errnoOf(error) === 'ERR_MODULE_NOT_FOUND') return undefined;
    throw error;
  });
  const exit: ((code: number) => unknown) | undefined = koffi?.default.load(null).func('_exit', 'void', ['int']);
  exit?.(code);
  if (process.getActiveResourcesInfo().some((name) => FILE_CALLS.includes(name))) process.kill(process.pid, 'SIGKILL');
  process.exit(code);
}
