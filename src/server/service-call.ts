/** The steps of every call: its caller, its role, its end, its line in the log. */
import { Metadata, status } from '@grpc/grpc-js';
import type { Held } from '../domain/budgets/fair-room.js';
import { withinSpan } from '../domain/model/current-work.js';
import { HostlerError, asHostlerError } from '../domain/model/errors.js';
import type { Code } from '../domain/model/reasons/reason-row.js';
import type { TraceSpan } from '../domain/model/span.js';
import { Status } from '../gen/google/rpc/status.js';
import type { Rpc } from '../handlers/access-request.js';
import { toStatus } from '../handlers/status.js';
import { MAX_ANSWER_BYTES } from './encode.js';
import { AuthorizedCall } from './authorized-call.js';
import { beginCallSpan, endCallSpan } from './call-span.js';
import type { Call, CallContext, AdmittedCall } from './call.js';

const DENIALS: readonly Code[] = ['PERMISSION_DENIED', 'UNAUTHENTICATED'];

/**
 * An error in the form that grpc-js sends, with google.rpc details. Nothing in the error can
 * prevent that it is sent.
 */
export function wireError(error: HostlerError): { code: status; details: string; metadata: Metadata } {
  const { message, ...rest } = toStatus(error);
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', Buffer.from(Status.encode({ message, ...rest }).finish()));
  return { code: status[error.shown.code], details: message, metadata };
}

/**
 * Runs one call: identifies the caller, checks its rights, does the work, and logs the call. The
 * work also serialises the answer: an answer that cannot be sent is a failure like any other. A
 * thrown error is returned.
 */
export function serveCall(
  rpc: Rpc,
  call: Call,
  context: CallContext,
  work: (admitted: AdmittedCall) => Promise<void>,
): Promise<HostlerError | undefined> {
  const span = beginCallSpan(rpc.name, call, context);
  return withinSpan(span, () => serveWithin(span, rpc, call, context, work));
}

async function serveWithin(
  span: TraceSpan,
  rpc: Rpc,
  call: Call,
  context: CallContext,
  work: (admitted: AdmittedCall) => Promise<void>,
): Promise<HostlerError | undefined> {
  const started = performance.now();
  const leave = new AbortController();
  const stopListening = onLeaving(call, context.closing, (reason) => {
    leave.abort(reason);
  });
  const seen = new AuthorizedCall(rpc, call, context);
  let failure: HostlerError | undefined;
  let endTurn: () => void = () => undefined;
  let room: Held | undefined;
  try {
    const entered = seen.admit(leave.signal);
    if (rpc.row.long === true)
      room = await context.answers.take(entered.caller.identity, MAX_ANSWER_BYTES, leave.signal);
    const admitted = { ...entered, room, leave: (reason: HostlerError) => leave.abort(reason) };
    endTurn = await context.fairStart.take(admitted.caller.identity);
    leave.signal.throwIfAborted();
    if (rpc.row.access === 'change') await context.audit.begin(seen.entry);
    await context.scope.within(admitted.caller.grant, () => work(admitted));
  } catch (error) {
    failure = asHostlerError(error);
  } finally {
    endTurn();
    if (room !== undefined) giveWhenRead(room, call);
    stopListening();
  }
  const ms = Math.round((performance.now() - started) * 10) / 10;
  const tooMany = await auditEnd(seen, rpc, context, failure, ms);
  const { caller, peer, paths, requestId, operationIds } = seen.entry;
  context.log({
    rpc: rpc.name,
    peer,
    caller,
    code: failure?.shown.code ?? 'OK',
    ...(failure === undefined ? {} : { reason: failure.shown.reason, cause: failure.cause }),
    ms,
    paths,
    ...(requestId === undefined ? {} : { requestId }),
    ...(operationIds === undefined ? {} : { operationIds }),
    tooMany,
  });
  endCallSpan(span, seen.entry, failure);
  return failure;
}

/**
 * grpc-js (1.14) emits `cancelled` at every end: when the last byte of the answer is sent, or the
 * stream is gone.
 */
function giveWhenRead(room: Held, call: Call): void {
  if (call.cancelled) room.give();
  else call.on('cancelled', () => room.give());
}

/**
 * Audits every call that changes something, and every denial, unless the caller has too many: then
 * the return value says so.
 */
async function auditEnd(
  seen: AuthorizedCall,
  rpc: Rpc,
  { audit, throttle }: CallContext,
  failure: HostlerError | undefined,
  ms: number,
): Promise<boolean> {
  const { reason: result, code } = failure?.shown ?? { reason: 'OK', code: undefined };
  const denied = (code !== undefined && DENIALS.includes(code)) || seen.entry.deniedPaths !== undefined;
  if (rpc.row.access === 'read' && !denied) return false;
  const leftOut = denied ? throttle.pass(seen.entry.caller) : 0;
  if (leftOut === undefined) return true;
  await audit.end({ event: 'call', ...seen.entry, result, ms, ...(leftOut === 0 ? {} : { leftOut }) });
  return false;
}

/**
 * Reports when the caller disconnects, its deadline passes or the server ends. Returns a function
 * to call when the call is over.
 */
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

/**
 * A caller's own clock started when it sent the call: it gives up this much before the server's
 * clock says so.
 */
const EARLY_MS = 100;

function goneReason(call: Call): HostlerError {
  const given = call.getDeadline();
  const deadline = given instanceof Date ? given.getTime() : given;
  return deadline - EARLY_MS <= Date.now()
    ? new HostlerError('CALLER_DEADLINE', "the caller's deadline passed")
    : new HostlerError('CANCELLED', 'the caller left');
}
