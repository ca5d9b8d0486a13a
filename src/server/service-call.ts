/** What every call goes through: its caller, its role, its end, its line in the log. */
import { Metadata, type Deadline } from '@grpc/grpc-js';
import type { Identity } from '../domain/access/authority.js';
import { decide } from '../domain/access/decide.js';
import type { Role } from '../domain/access/role.js';
import type { Caller } from '../domain/caller.js';
import { HostlerError, asHostlerError, type Reason } from '../domain/errors.js';
import { Status } from '../gen/google/rpc/status.js';
import { attemptOf, type Rpc } from '../handlers/attempt.js';
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

export interface CallContext {
  /** The address that the call came to: all there is to say of a unix socket's far end. */
  readonly address: string;
  /** Who is on the other end of a connection. Fails with NOT_AUTHENTICATED. */
  readonly whoIs: (peer: string) => Identity;
  readonly log: CallLog;
  /** Aborted when the server ends its streams. */
  readonly closing: AbortSignal;
}

/** What a call's work gets. */
export interface Admitted {
  readonly caller: Caller;
  /** For requests that stream in: each is checked like the request of any other call. */
  readonly check: (request: unknown) => void;
}

/** An error as grpc-js sends it, with google.rpc details. */
export function wireError(error: HostlerError): { code: number; details: string; metadata: Metadata } {
  const status = toStatus(error);
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', Buffer.from(Status.encode(status).finish()));
  return { code: status.code, details: status.message, metadata };
}

/** Runs one call: finds out whose it is and whether it is allowed, works, logs. What is thrown comes back as an error. */
export async function serveCall(
  rpc: Rpc,
  call: Call,
  context: CallContext,
  work: (admitted: Admitted) => Promise<void>,
): Promise<HostlerError | undefined> {
  const started = performance.now();
  const leave = new AbortController();
  const stopListening = onLeaving(call, context.closing, (reason) => {
    leave.abort(reason);
  });
  const seen = new Seen(rpc, call, context);
  let failure: HostlerError | undefined;
  try {
    await work(seen.admit(leave.signal));
  } catch (error) {
    failure = asHostlerError(error);
  } finally {
    stopListening();
  }
  context.log({
    rpc: rpc.name,
    peer: seen.peer,
    caller: seen.caller,
    code: failure === undefined ? 'OK' : String(toStatus(failure).code),
    ...(failure === undefined ? {} : { reason: failure.reason, cause: failure.cause }),
    ms: Math.round((performance.now() - started) * 10) / 10,
    paths: seen.paths,
  });
  return failure;
}

/** What there is to know of a call, as it becomes known. */
class Seen {
  readonly peer: string;
  caller = '';
  readonly paths: string[] = [];

  constructor(
    private readonly rpc: Rpc,
    private readonly call: Call,
    private readonly context: CallContext,
  ) {
    this.peer = context.address.startsWith('unix:') ? context.address : call.getPeer();
  }

  /** Fails with NOT_AUTHENTICATED, METHOD_NOT_ALLOWED, PATH_OUTSIDE_ROOTS, ROOT_READ_ONLY. */
  admit(signal: AbortSignal): Admitted {
    const identity = this.context.whoIs(this.peer);
    this.caller = identity.name;
    const check = (request: unknown): Role => {
      const attempt = attemptOf(this.rpc, request);
      this.paths.push(...attempt.places.map(({ address }) => address));
      const decision = decide(identity, attempt);
      if ('refused' in decision) throw decision.refused;
      return decision.role;
    };
    const deadline = this.call.getDeadline();
    const caller = {
      identity: identity.name,
      roles: identity.roles.map(({ name }) => name),
      grant: check(this.call.request),
      peer: this.peer,
      signal,
      deadline: deadline instanceof Date ? deadline : undefined,
    };
    return { caller, check };
  }
}

/** Tells when the caller goes, its deadline passes or the server ends. Returns what to call when the call is over. */
function onLeaving(call: Call, closing: AbortSignal, leave: (reason: unknown) => void): () => void {
  const onCancelled = () => {
    leave(goneReason(call));
  };
  const onClosing = () => {
    leave(closing.reason);
  };
  call.on('cancelled', onCancelled);
  closing.addEventListener('abort', onClosing, { once: true });
  if (call.cancelled) onCancelled();
  return () => {
    call.off('cancelled', onCancelled);
    closing.removeEventListener('abort', onClosing);
  };
}

function goneReason(call: Call): HostlerError {
  const deadline = call.getDeadline();
  const passed = deadline instanceof Date ? deadline.getTime() <= Date.now() : deadline <= Date.now();
  return passed
    ? new HostlerError('CALLER_DEADLINE', "the caller's deadline passed")
    : new HostlerError('CANCELLED', 'the caller left');
}
