/**
 * The one table of metrics: what `/metrics` exports, and docs/reference/metrics.md. Names follow
 * the conventions of Prometheus: base units, `_total` for counters.
 */
import { counter, gauge, histogram, type MetricRow } from './metric-row.js';

/** From a call that reads a header to a copy of a terabyte. */
const OPERATION_SECONDS = [0.01, 0.05, 0.25, 1, 5, 15, 60, 300, 1800, 7200];
const CALL_SECONDS = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60];
const WAIT_SECONDS = [0.01, 0.1, 1, 5, 15, 60, 300, 1800];
/** One sync of a disk, from a fast one to one that is about to be given up. */
const WRITE_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10];

const OPERATIONS = {
  hostler_operation_duration_seconds: histogram(
    'From the beginning of an operation, with its time in the queue, to its end. Series for failures exist from the first of their kind on.',
    OPERATION_SECONDS,
    'verb',
    'engine',
    'result',
  ),
  hostler_operations_total: counter('Operations that ended.', 'verb', 'result'),
  hostler_operation_failures_total: counter('Operations that failed or were cancelled.', 'reason'),
  hostler_operation_queue_wait_seconds: histogram(
    'Time in the queue of operations and plans that came to their turn.',
    WAIT_SECONDS,
    'slot',
  ),
  hostler_operations_running: gauge('Operations and plans that are at work.', 'slot'),
  hostler_operations_waiting: gauge('Operations and plans in the queue.', 'slot'),
  hostler_operations_limit: gauge('As many may be at work at once.', 'slot'),
  hostler_operation_moved_bytes_total: counter('Bytes that operations that succeeded read or sent.', 'engine'),
  hostler_operation_skipped_bytes_total: counter('Bytes that they did not need to move, such as holes.', 'engine'),
  hostler_operation_progress_bytes_per_second: gauge(
    'What running operations move in a second, by their own last figures.',
    'verb',
  ),
  hostler_locks: gauge('Paths that are locked.'),
} as const satisfies Record<string, MetricRow>;

const CALLS = {
  hostler_rpc_duration_seconds: histogram(
    'Duration of calls; of those that follow an operation, as long as they follow it. Series for failures exist from the first of their kind on.',
    CALL_SECONDS,
    'rpc',
    'code',
  ),
  hostler_rpc_failures_total: counter('Calls that failed.', 'reason'),
  hostler_denials_total: counter(
    'Calls that were denied: the caller has no role for them, or none for the path.',
    'rpc',
    'reason',
  ),
  hostler_connections: gauge('Connections to the gRPC addresses that stand now.'),
  hostler_connections_refused_total: counter('Connections that were refused, or ended to make room.', 'kind'),
  hostler_audit_failures_total: counter('Times that the audit log could not be written.'),
  hostler_certificate_expiry_timestamp_seconds: gauge(
    'When the certificate expires, in seconds since 1970. Only with `[tls]`.',
    'certificate',
  ),
} as const satisfies Record<string, MetricRow>;

const SPACE = {
  hostler_root_size_bytes: gauge('Size of the filesystem of a root.', 'root'),
  hostler_root_free_bytes: gauge('What users without privileges can have of it.', 'root'),
  hostler_root_reserved_bytes: gauge('What running operations have reserved and not yet taken.', 'root'),
  hostler_root_overcommitted_bytes: gauge(
    'By how much the images of all roots on its filesystem may still grow. Unset until it is known, some seconds after the start.',
    'root',
  ),
  hostler_root_stalled: gauge('1: the filesystem does not answer; the other figures are those of before.', 'root'),
  hostler_root_unavailable: gauge('1: the root is not where it was, or cannot be looked at.', 'root'),
  hostler_pool_size_bytes: gauge('What a pool holds and can still take, by what its cluster says.', 'pool'),
  hostler_pool_free_bytes: gauge('What it can still take.', 'pool'),
  hostler_pool_reserved_bytes: gauge('What running operations have reserved and not yet taken.', 'pool'),
  hostler_pool_stalled: gauge('1: the cluster does not answer; the other figures are those of before.', 'pool'),
  hostler_pool_unavailable: gauge('1: the pool cannot be looked at for another reason.', 'pool'),
  hostler_space_reservations: gauge('Operations that have reserved space.'),
} as const satisfies Record<string, MetricRow>;

const KEPT = {
  hostler_cache_entries: gauge('Images in the cache.'),
  hostler_cache_bytes: gauge('Space that they take.'),
  hostler_cache_limit_bytes: gauge('Space that they may take: `cache.max_bytes`.'),
  hostler_cache_uses_total: counter('Images that were made from the cache.', 'event'),
  hostler_cache_use_bytes_total: counter('Bytes of these images: found there, or fetched into it.', 'event'),
  hostler_cache_evictions_total: counter('Images that left the cache.'),
  hostler_cache_evicted_bytes_total: counter('Space that became free by that.'),
  hostler_cache_set_aside_files: gauge('Files in the folder of the cache that no fetch uses.'),
  hostler_cache_set_aside_bytes: gauge('Space that they take.'),
  hostler_fetch_network_bytes_total: counter('Bytes of images that came over the network, also of failed fetches.'),
  hostler_resume_entries: gauge('Interrupted transfers that are kept for the next attempt.'),
  hostler_resume_bytes: gauge('Space that they take.'),
  hostler_foreign_folders: gauge('Private folders of other agents in the roots, at the start.'),
  hostler_foreign_bytes: gauge('Space that they take.'),
} as const satisfies Record<string, MetricRow>;

const HOST = {
  hostler_build_info: gauge('Always 1; the labels say what runs.', 'version', 'contract', 'node', 'sandbox'),
  hostler_children_total: counter('Child processes that ended.', 'tool', 'outcome'),
  hostler_child_cpu_seconds_total: counter(
    'Processor time of child processes that ended, user and system. Stays 0 where the host has no posix_spawn for us.',
    'tool',
  ),
  hostler_state_writable: gauge('1: changes can be recorded; 0: they are refused.'),
  hostler_journal_size_bytes: gauge('Size of the journal, with its write-ahead log.'),
  hostler_journal_write_duration_seconds: histogram(
    'From handing over a batch of records until the disk has it.',
    WRITE_SECONDS,
  ),
  hostler_journal_set_aside_records: gauge('Records of the journal that cannot be read.'),
  hostler_log_lines_lost_total: counter('Lines of the log that could not be written.'),
  hostler_uncaught_exceptions_total: counter('Exceptions that nothing caught.'),
  hostler_forgotten_failures_total: counter('Failures of work that nothing waited for.'),
} as const satisfies Record<string, MetricRow>;

/** In the order of the page. */
export const METRIC_GROUPS = {
  Operations: OPERATIONS,
  'Calls and callers': CALLS,
  Space: SPACE,
  'Cache and kept work': KEPT,
  'Daemon and host': HOST,
} as const;

export const METRICS = { ...OPERATIONS, ...CALLS, ...SPACE, ...KEPT, ...HOST } as const;

/**
 * Metrics of Node, from prom-client, on which the dashboard or an alert stands. The delay of the
 * event loop is since the last scrape.
 */
export const NODE_METRICS = {
  nodejs_eventloop_lag_p99_seconds: 'Delay of the event loop: 99 of 100 turns were not later.',
  nodejs_eventloop_lag_max_seconds: 'Delay of the event loop: the longest.',
  process_cpu_seconds_total: 'Processor time of the daemon itself.',
  process_resident_memory_bytes: 'Memory of the daemon.',
  process_open_fds: 'Open descriptors.',
  process_max_fds: 'Descriptors that it may have.',
  process_start_time_seconds: 'When it was started, in seconds since 1970.',
} as const;

export type MetricName = keyof typeof METRICS;
type OfKind<Kind> = { [Name in MetricName]: (typeof METRICS)[Name]['kind'] extends Kind ? Name : never }[MetricName];
export type CounterName = OfKind<'counter'>;
export type HistogramName = OfKind<'histogram'>;
/** Those without labels. */
export type PlainName = {
  [Name in MetricName]: (typeof METRICS)[Name]['labels'] extends readonly [] ? Name : never;
}[MetricName];
export type LabelsOf<Name extends MetricName> = Readonly<Record<(typeof METRICS)[Name]['labels'][number], string>>;
