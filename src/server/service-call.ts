/** What every call goes through: its caller, its role, its end, its line in the log. */
import { Metadata, type Deadline } from '@grpc/grpc-js';
import type { Caller, Role } from '../domain/caller.js';
import { HostlerError, asHostlerError, type Reason } from '../domain/errors.js';
import { Status } from '../gen/google/rpc/status.js';
import type { RpcRow } from '../handlers/rpc-table.js';
import { toStatus } from '../handlers/status.js';

/** What a call of any kind has. */
interface Call {
  /** Unset where requests stream in. */
  readonly request?: unknown;
  readonly cancelled: boolean;
  on(event: 'cancelled', listener: () => void): unknown;
  off(event: 'cancelled', listener: () => void): unknown;
  getPeer(): string;
  getDeadline(): Deadline;
}

/** One line a call; never content or secrets. */
export interface CallLog {
  (facts: {
    readonly rpc: string;
    readonly peer: string;
    readonly caller: string;
    readonly code: string;
    readonly reason?: Reason;
    readonly ms: number;
    readonly paths: readonly string[];
    readonly cause?: unknown;
  }): void;
}

/** Who is on the other end of a listening socket. */
export interface Listener {
  readonly identity: string;
  readonly roles: readonly Role[];
}

export interface CallContext {
  readonly listener: Listener;
  readonly log: CallLog;
  /** Aborted when the server ends its streams. */
  readonly closing: AbortSignal;
}

/** An error as grpc-js sends it, with google.rpc details. */
export function wireError(error: HostlerError): { code: number; details: string; metadata: Metadata } {
  const status = toStatus(error);
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', Buffer.from(Status.encode(status).finish()));
  return { code: status.code, details: status.message, metadata };
}

/** Runs one call: checks the role, works, logs. What `work` throws, and a caller that went, comes back as an error. */
export async function serveCall(
  rpc: string,
  row: RpcRow,
  call: Call,
  context: CallContext,
  work: (caller: Caller) => Promise<void>,
): Promise<HostlerError | undefined> {
  const started = performance.now();
  const abort = new AbortController();
  let finished = false;
  const onCancelled = () => {
    // Fires for a deadline too, and after a normal end.
    if (!finished) abort.abort(goneReason(call));
  };
  const onClosing = () => {
    abort.abort(context.closing.reason);
  };
  call.on('cancelled', onCancelled);
  context.closing.addEventListener('abort', onClosing, { once: true });
  if (call.cancelled) onCancelled();
  const peer = call.getPeer();
  let failure: HostlerError | undefined;
  try {
    if (row.access === 'change' && !context.listener.roles.includes('admin')) {
      throw new HostlerError('METHOD_NOT_ALLOWED', `${rpc} changes the host; callers of this socket may only look`, {
        facts: { rpc },
      });
    }
    const deadline = call.getDeadline();
    await work({
      ...context.listener,
      peer,
      signal: abort.signal,
      deadline: deadline instanceof Date ? deadline : undefined,
    });
  } catch (error) {
    failure = asHostlerError(error);
  } finally {
    finished = true;
    call.off('cancelled', onCancelled);
    context.closing.removeEventListener('abort', onClosing);
  }
  context.log({
    rpc,
    peer,
    caller: context.listener.identity,
    code: failure === undefined ? 'OK' : String(toStatus(failure).code),
    ...(failure === undefined ? {} : { reason: failure.reason, cause: failure.cause }),
    ms: Math.round((performance.now() - started) * 10) / 10,
    paths: addressesOf(call.request, row),
  });
  return failure;
}

function goneReason(call: Call): HostlerError {
  const deadline = call.getDeadline();
  const passed = deadline instanceof Date ? deadline.getTime() <= Date.now() : deadline <= Date.now();
  return passed
    ? new HostlerError('CALLER_DEADLINE', "the caller's deadline passed")
    : new HostlerError('CANCELLED', 'the caller left');
}

function addressesOf(request: unknown, { addresses }: RpcRow): string[] {
  if (typeof request !== 'object' || request === null) return [];
  return Object.entries(request).flatMap(([key, value]) =>
    addresses.includes(key) && typeof value === 'string' ? [value] : [],
  );
}
