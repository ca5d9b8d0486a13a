import { HostlerError, hostExhausted } from '../../domain/model/errors.js';
import { NO_PROCESSES, exhaustion } from '../../domain/model/exhausted.js';
import { limitExceeded } from './child-control.js';
import { errnoOf } from '../linux/errno.js';
import type { ToolCall } from './tool-call.js';

/**
 * A child that could not be started. HOST_EXHAUSTED when there is no more of something, else
 * TOOL_FAILED.
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

/** How tools end that get no more memory: they say so, or glib ends them. */
const NO_MEMORY = /allocate (?:memory|\d+ bytes)|out of memory|mmap.*failed/i;
const NO_MEMORY_SIGNALS: readonly (string | undefined)[] = ['SIGABRT', 'SIGTRAP', 'SIGSEGV'];
/** What is said of a process or a thread that was refused: EAGAIN. */
const REFUSED = /Resource temporarily unavailable|pthread_create failed/;
/** The sandbox forks before anything is large. */
const SANDBOX_REFUSED = /^bwrap: .*Resource temporarily unavailable/;

/** How a tool ended. */
interface End {
  readonly code: number | undefined;
  readonly signal: string | undefined;
  readonly stderr: string;
}

/**
 * Fails when a tool that failed had come to the end of its memory, with the limit's name, or of the
 * host's processes: HOST_EXHAUSTED.
 */
export function assertResources(
  { tool, limits: { addressSpaceBytes } }: Pick<ToolCall, 'tool' | 'limits'>,
  { code, signal, stderr }: End,
): void {
  if (code === 0) return;
  // Under a limit of memory a thread may have been refused for that.
  if (SANDBOX_REFUSED.test(stderr) || (addressSpaceBytes === undefined && REFUSED.test(stderr)))
    throw hostExhausted(NO_PROCESSES, undefined, { tool, stderr });
  if (addressSpaceBytes === undefined) return;
  if (NO_MEMORY_SIGNALS.includes(signal) || NO_MEMORY.test(stderr) || REFUSED.test(stderr))
    throw limitExceeded(tool, 'address_space_bytes', String(addressSpaceBytes));
}
