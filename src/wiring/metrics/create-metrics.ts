/** The metrics of this daemon, with every possible series at 0. */
import {
  DENIAL_REASONS,
  ENGINES,
  ENGINES_OF_VERBS,
  EVENTS,
  OUTCOMES,
  REASON_NAMES,
  REFUSAL_KINDS,
  RESULTS,
  SLOTS,
  TOOLS,
} from '../../adapters/telemetry/metrics/label-values.js';
import { Metrics } from '../../adapters/telemetry/metrics/metrics.js';
import { RPC_TABLE } from '../../handlers/rpc-table.js';

/** Every RPC by its name in the log. */
export const RPC_NAMES: readonly string[] = Object.entries(RPC_TABLE).flatMap(([service, rows]) =>
  Object.keys(rows).map((rpc) => `hostler.v1.${service}/${rpc.slice(0, 1).toUpperCase()}${rpc.slice(1)}`),
);

/**
 * Creates the metrics. Series of events that have not happened yet exist from the beginning, so
 * that a rate includes the first event; of histograms only those of successes, because the others
 * would be ten thousand lines.
 */
export function createMetrics(): Metrics {
  const metrics = new Metrics();
  zeroOperations(metrics);
  zeroCalls(metrics);
  for (const event of EVENTS)
    for (const name of ['hostler_cache_uses_total', 'hostler_cache_use_bytes_total'] as const)
      metrics.zero(name, { event });
  for (const tool of TOOLS) {
    metrics.zero('hostler_child_cpu_seconds_total', { tool });
    for (const outcome of OUTCOMES) metrics.zero('hostler_children_total', { tool, outcome });
  }
  return metrics;
}

function zeroOperations(metrics: Metrics): void {
  for (const [verb, engines] of Object.entries(ENGINES_OF_VERBS)) {
    for (const engine of engines) metrics.zero('hostler_operation_duration_seconds', { verb, engine, result: 'OK' });
    for (const result of RESULTS) metrics.zero('hostler_operations_total', { verb, result });
  }
  for (const slot of SLOTS) metrics.zero('hostler_operation_queue_wait_seconds', { slot });
  for (const engine of ENGINES)
    for (const name of ['hostler_operation_moved_bytes_total', 'hostler_operation_skipped_bytes_total'] as const)
      metrics.zero(name, { engine });
  for (const reason of REASON_NAMES) {
    metrics.zero('hostler_operation_failures_total', { reason });
    metrics.zero('hostler_rpc_failures_total', { reason });
  }
}

function zeroCalls(metrics: Metrics): void {
  for (const rpc of RPC_NAMES) {
    metrics.zero('hostler_rpc_duration_seconds', { rpc, code: 'OK' });
    for (const reason of DENIAL_REASONS) metrics.zero('hostler_denials_total', { rpc, reason });
  }
  for (const kind of REFUSAL_KINDS) metrics.zero('hostler_connections_refused_total', { kind });
}
