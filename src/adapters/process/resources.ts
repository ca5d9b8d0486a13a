import { HostlerError, hostExhausted } from '../../domain/model/errors.js';
import { NO_PROCESSES, exhaustion } from '../../domain/model/exhausted.js';
import { limitExceeded } from './child-control.js';
import { errnoOf } from '../linux/errno.js';
import type { ToolCall } from './tool-call.js';

/**
 * The error of a child that could not be started: HOST_EXHAUSTED if a resource of the host ran out,
 * otherwise TOOL_FAILED.
 */
export function startFailure(tool: string, error: unknown): HostlerError {
  if (error instanceof HostlerError) return error;
  const exhausted = exhaustion(error);
  if (exhausted !== undefined) return hostExhausted(exhausted, error, { tool });
  const errno = errnoOf(error);
  if (errno === undefined)
    return new HostlerError('BUG', 'internal error; see the log of the daemon', { cause: error });
  const facts = { tool, errno };
  return new HostlerError('TOOL_FAILED', `${tool} could not be started: ${errno}`, { facts, cause: error });
}

/** Messages of tools that get no more memory, including that of glib when it aborts. */
const NO_MEMORY = /allocate (?:memory|\d+ bytes)|out of memory|mmap.*failed/i;
const NO_MEMORY_SIGNALS: readonly (string | undefined)[] = ['SIGABRT', 'SIGTRAP', 'SIGSEGV'];
/** Messages about a process or thread that could not be created: EAGAIN. */
const REFUSED = /Resource temporarily unavailable|pthread_create failed/;
/** The sandbox forks before it allocates much memory. */
const SANDBOX_REFUSED = /^bwrap: .*Resource temporarily unavailable/;

/** How a tool ended. */
interface End {
  readonly code: number | undefined;
  readonly signal: string | undefined;
  readonly stderr: string;
}

/**
 * Fails if a failed tool ran out of memory, naming the limit, or could not create a process:
 * HOST_EXHAUSTED.
 */
export function assertResources(
  { tool, limits: { addressSpaceBytes } }: Pick<ToolCall, 'tool' | 'limits'>,
  { code, signal, stderr }: End,
): void {
  if (code === 0) return;
  // Under a memory limit, a thread may have been refused because of that limit.
  if (SANDBOX_REFUSED.test(stderr) || (addressSpaceBytes === undefined && REFUSED.test(stderr)))
    throw hostExhausted(NO_PROCESSES, undefined, { tool, stderr });
  if (addressSpaceBytes === undefined) return;
  if (NO_MEMORY_SIGNALS.includes(signal) || NO_MEMORY.test(stderr) || REFUSED.test(stderr))
    throw limitExceeded(tool, 'address_space_bytes', String(addressSpaceBytes));
}
