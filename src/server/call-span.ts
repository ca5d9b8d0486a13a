/** The span of a call: from its headers to its end. */
import type { Code } from '../domain/model/reasons/reason-row.js';
import type { HostlerError } from '../domain/model/errors.js';
import type { TraceSpan } from '../domain/model/span.js';
import type { AuditEntry } from '../domain/access/audit.js';
import { readSpanContext } from '../protocol/trace-context.js';
import type { Call, CallContext } from './call.js';

/**
 * Codes for which a server's span counts as an error: the caller can fix the others
 * (OpenTelemetry's conventions for gRPC).
 */
const ERRORS: readonly (Code | 'UNKNOWN' | 'DATA_LOSS')[] = [
  'UNKNOWN',
  'DEADLINE_EXCEEDED',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
];

/** Starts the span of a call, within the caller's span if the call names one. */
export function beginCallSpan(rpc: string, { metadata }: Call, { tracer }: CallContext): TraceSpan {
  return tracer.begin(rpc, readSpanContext(metadata), {
    kind: 'server',
    attributes: { 'rpc.system.name': 'grpc', 'rpc.method': rpc },
  });
}

/** Ends the span of a call; `entry` has the result of the call. */
export function endCallSpan(
  span: TraceSpan,
  { caller, requestId, operationIds: [operation] = [] }: Omit<AuditEntry, 'event'>,
  failure: HostlerError | undefined,
): void {
  span.set({
    'rpc.status_code': failure?.shown.code ?? 'OK',
    'hostler.caller': caller,
    ...(requestId === undefined ? {} : { 'hostler.request_id': requestId }),
    ...(operation === undefined ? {} : { 'hostler.operation_id': operation }),
  });
  if (failure === undefined) span.end();
  else span.end({ type: failure.shown.reason, isError: ERRORS.includes(failure.shown.code) });
}
