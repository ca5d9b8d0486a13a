/** Counts the ends of operations, calls and child processes in the metrics. */
import {
  bytesOf,
  codeOf,
  engineOf,
  isDenial,
  labelOf,
  reasonLabel,
  toolLabel,
} from '../../adapters/telemetry/metrics/label-values.js';
import type { Metrics } from '../../adapters/telemetry/metrics/metrics.js';
import type { ProcessLog } from '../../adapters/process/process.js';
import type { SlotWatch } from '../../domain/operations/resources/slots.js';
import type { OperationRecord } from '../../domain/operations/record.js';
import type { CallLog } from '../../server/call.js';
import type { WhyDropped } from '../../server/connections.js';

/** An operation has ended. */
export function countOperation(metrics: Metrics, record: OperationRecord): void {
  const { method: verb, error, result, createTime, endTime = createTime } = record;
  const seconds = Math.max(0, endTime - createTime) / 1000;
  const engine = error === undefined ? engineOf(result) : 'none';
  const labels = { verb, result: error === undefined ? 'OK' : codeOf(error.reason) };
  metrics.observe('hostler_operation_duration_seconds', { ...labels, engine }, seconds);
  metrics.add('hostler_operations_total', labels);
  if (error !== undefined) metrics.add('hostler_operation_failures_total', { reason: reasonLabel(error.reason) });
  const bytes = result === undefined ? undefined : bytesOf(result);
  if (bytes === undefined || error !== undefined) return;
  metrics.add('hostler_operation_moved_bytes_total', { engine }, Number(bytes.moved));
  metrics.add('hostler_operation_skipped_bytes_total', { engine }, Number(bytes.skipped));
}

/** A call has ended. */
export function countCall(metrics: Metrics, { rpc, code, reason, ms }: Parameters<CallLog>[0]): void {
  metrics.observe('hostler_rpc_duration_seconds', { rpc, code }, ms / 1000);
  if (reason === undefined) return;
  const known = reasonLabel(reason);
  metrics.add('hostler_rpc_failures_total', { reason: known });
  if (isDenial(known)) metrics.add('hostler_denials_total', { rpc, reason: known });
}

/** A connection was refused, or closed to make room. */
export function countRefusal(metrics: Metrics, why: WhyDropped): void {
  metrics.add('hostler_connections_refused_total', { kind: labelOf(why) });
}

/** An image was made from the cache, or downloaded into it first. */
export function countCacheUse(metrics: Metrics): (event: 'hit' | 'miss', bytes: bigint) => void {
  return (event, bytes) => {
    metrics.add('hostler_cache_uses_total', { event });
    metrics.add('hostler_cache_use_bytes_total', { event }, Number(bytes));
  };
}

/** An image was evicted from the cache. */
export function countEviction(metrics: Metrics): (freedBytes: bigint) => void {
  return (freedBytes) => {
    metrics.add('hostler_cache_evictions_total', {});
    metrics.add('hostler_cache_evicted_bytes_total', {}, Number(freedBytes));
  };
}

/** A child process has ended. */
export function countChild(metrics: Metrics): ProcessLog['counted'] & object {
  return (name, outcome, cpuSeconds) => {
    const tool = toolLabel(name);
    metrics.add('hostler_children_total', { tool, outcome });
    metrics.add('hostler_child_cpu_seconds_total', { tool }, cpuSeconds);
  };
}

/** How long operations waited for slots. */
export function slotWatch(metrics: Metrics): SlotWatch {
  return {
    clock: () => performance.now(),
    granted: (slot, waitedMs) => metrics.observe('hostler_operation_queue_wait_seconds', { slot }, waitedMs / 1000),
  };
}
