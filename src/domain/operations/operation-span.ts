/** The span of an operation: from its admission to its end. */
import { currentWork } from '../model/current-work.js';
import type { TraceSpan, SpanContext } from '../model/span.js';
import type { Tracer } from '../ports/tracer.js';
import type { OperationRecord } from './record.js';

/**
 * Starts the span within the current work; the record then contains it. A request that is refused
 * after this is not an operation, and its span is never ended. An operation of an earlier life of
 * the daemon continues the trace of that life's span.
 */
export function beginOperationSpan(
  tracer: Tracer,
  record: OperationRecord,
  earlier?: SpanContext,
): { readonly span: TraceSpan; readonly record: OperationRecord } {
  const span = tracer.begin(record.method, earlier ?? currentWork().span?.context, {
    attributes: attributesOf(record),
    ...(earlier === undefined ? {} : { continues: earlier }),
  });
  return { span, record: span.context === undefined ? record : { ...record, trace: span.context } };
}

/** Ends the span with the result of the operation. */
export function endOperationSpan(span: TraceSpan, { state, error }: OperationRecord): void {
  span.set({ 'hostler.state': state });
  span.end(error === undefined ? undefined : { type: error.reason, message: error.message });
}

/** The daemon stops, and its next start resumes the operation: this span has no result. */
export function suspendOperationSpan(span: TraceSpan): void {
  span.set({ 'hostler.state': 'SUSPENDED' });
  span.end();
}

/**
 * Adds a span for an operation that ended without running: the daemon that ran it was killed before
 * it could end its span.
 */
export function traceEnded(tracer: Tracer, record: OperationRecord): void {
  if (record.trace === undefined) return;
  const span = tracer.begin(record.method, record.trace, {
    attributes: attributesOf(record),
    continues: record.trace,
    startTime: record.createTime,
  });
  endOperationSpan(span, record);
}

function attributesOf({ id, caller, requestId, addresses, attempt }: OperationRecord) {
  return {
    'hostler.operation_id': id,
    'hostler.caller': caller,
    ...(requestId === undefined ? {} : { 'hostler.request_id': requestId }),
    'hostler.addresses': [...addresses],
    'hostler.attempt': attempt,
  };
}
