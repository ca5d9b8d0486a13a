/** Entries about operations for the log, the metrics and the audit. */
import { errorText, type Log } from '../adapters/telemetry/log.js';
import type { Metrics } from '../adapters/telemetry/metrics/metrics.js';
import { countOperation } from './metrics/record.js';
import type { AuditEntry, AuditTrail } from '../domain/access/audit.js';
import { isInternal } from '../domain/model/reasons/reasons.js';
import type { OperationLog } from '../domain/operations/engine-ports.js';
import type { OperationRecord } from '../domain/operations/record.js';

/** Logs each operation that has ended, and files that could not be removed then. */
export function operationLog(log: Log, metrics: Metrics, audit: AuditTrail): OperationLog {
  return {
    finished(record, cause) {
      countOperation(metrics, record);
      // Its caller may have disconnected: then no call reports how it ended.
      if (record.detached) void audit.end(auditEntry(record));
      const { error, state } = record;
      if (error !== undefined && isInternal(error.reason))
        log.error('operation', { ...facts(record), cause: errorText(cause) });
      else if (state === 'FAILED') log.warn('operation', facts(record));
      else log.info('operation', facts(record));
    },
    cleanupFailed: ({ id, method }, cause) =>
      log.error('cleanup failed', { operation_id: id, method, cause: errorText(cause) }),
  };
}

/** An operation as an audit entry; without an end its time is 0 ms. */
export function auditEntry(record: OperationRecord): AuditEntry {
  const { id, method, caller, requestId, addresses, error, createTime, endTime = createTime } = record;
  return {
    event: 'operation',
    caller,
    rpc: method,
    paths: addresses,
    ...(requestId === undefined ? {} : { requestId }),
    operationIds: [id],
    result: error?.reason ?? 'OK',
    ms: endTime - createTime,
  };
}

/** An operation as fields of a log line. */
export function facts({
  id,
  method,
  caller,
  state,
  addresses,
  error,
  spec,
  requestId,
  createTime,
  endTime = createTime,
}: OperationRecord) {
  // Checks that the caller chose to skip.
  const allowed = Object.entries(spec).flatMap(([key, value]) =>
    key.startsWith('allow') && value === true ? [key] : [],
  );
  const more = allowed.length === 0 ? {} : { allowed };
  return {
    operation_id: id,
    ...(requestId === undefined ? {} : { request_id: requestId }),
    method,
    caller,
    state,
    addresses,
    reason: error?.reason,
    why: error?.message,
    ms: endTime - createTime,
    ...more,
  };
}
