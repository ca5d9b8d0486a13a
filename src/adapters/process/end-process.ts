import { takeCoverage } from 'node:v8';
import { loadKoffi } from '../linux/koffi.js';

/** Node's resources for pending calls into a filesystem. */
const FILE_CALLS = ['FSReqCallback', 'FSReqPromise'];

/**
 * Ends the process now, whatever its threads wait for: `process.exit` waits for each thread that a
 * filesystem blocks, without a limit. So it ends through the system's own `_exit`; on a host
 * without a build of koffi, by SIGKILL if some call hangs.
 */
export function endProcess(code: number): never {
  takeCoverage(); // an orderly exit would write the coverage; without coverage this does nothing
  const exit: ((code: number) => unknown) | undefined = loadKoffi()?.load(null).func('_exit', 'void', ['int']);
  exit?.(code);
  if (process.getActiveResourcesInfo().some((name) => FILE_CALLS.includes(name))) process.kill(process.pid, 'SIGKILL');
  process.exit(code);
}
