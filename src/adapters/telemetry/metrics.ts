import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import type { OperationRecord } from '../../domain/operations/record.js';

/** Values that are read when they are asked for. */
interface Now {
  readonly running: number;
  readonly waiting: number;
  readonly locks: number;
  readonly reservations: number;
  readonly resumeEntries: number;
  readonly resumeBytes: number;
  readonly cacheEntries: number;
  readonly cacheBytes: number;
  readonly setAside: number;
  readonly setAsideBytes: number;
  readonly journal: { readonly writable: boolean; readonly asideCount: number };
  readonly foreignFolders: number;
  readonly foreignBytes: number;
  readonly uncaughtExceptions: number;
  readonly forgottenFailures: number;
  readonly logLinesLost: number;
}

/** What the daemon counts. */
export class Metrics {
  readonly registry = new Registry();
  readonly #calls = new Histogram({
    name: 'hostler_rpc_seconds',
    help: 'Duration of RPCs',
    labelNames: ['rpc', 'code'],
    buckets: [0.001, 0.01, 0.1, 1, 10, 100, 1000],
    registers: [this.registry],
  });
  readonly #operations = new Counter({
    name: 'hostler_operations_total',
    help: 'Finished operations',
    labelNames: ['method', 'state'],
    registers: [this.registry],
  });
  readonly #refused = new Counter({
    name: 'hostler_connections_refused_total',
    help: 'Connections that were turned away, or ended to make room',
    labelNames: ['why'],
    registers: [this.registry],
  });

  readonly #cacheUses = new Counter({
    name: 'hostler_cache_uses_total',
    help: 'Images that were made from the cache: hit, or fetched into it first: miss',
    labelNames: ['event'],
    registers: [this.registry],
  });
  readonly #cacheBytes = new Counter({
    name: 'hostler_cache_bytes_total',
    help: 'Bytes of images found in the cache: hit, or fetched into it: miss',
    labelNames: ['event'],
    registers: [this.registry],
  });
  readonly #networkBytes = new Counter({
    name: 'hostler_fetch_network_bytes_total',
    help: 'Bytes of images that came over the network',
    registers: [this.registry],
  });

  constructor(now: () => Now) {
    collectDefaultMetrics({ register: this.registry });
    const gauge = (name: string, help: string, value: () => number) =>
      new Gauge({
        name,
        help,
        registers: [this.registry],
        collect() {
          this.set(value());
        },
      });
    const total = (name: string, help: string, value: () => number) =>
      new Counter({
        name,
        help,
        registers: [this.registry],
        collect() {
          this.reset();
          this.inc(value());
        },
      });
    total('hostler_uncaught_exceptions_total', 'Exceptions that nobody caught', () => now().uncaughtExceptions);
    total('hostler_forgotten_failures_total', 'Failures that nobody waited for', () => now().forgottenFailures);
    total('hostler_log_lines_lost_total', 'Lines of the log that could not be written', () => now().logLinesLost);
    gauge('hostler_operations_running', 'Operations and plans at work', () => now().running);
    gauge('hostler_operations_waiting', 'Operations and plans in the queue', () => now().waiting);
    gauge('hostler_locks', 'Paths that are locked', () => now().locks);
    gauge('hostler_space_reservations', 'Operations that hold space', () => now().reservations);
    gauge('hostler_resume_entries', 'Interrupted transfers that are kept for later', () => now().resumeEntries);
    gauge('hostler_resume_bytes', 'Space that they take', () => now().resumeBytes);
    gauge('hostler_cache_entries', 'Images in the cache', () => now().cacheEntries);
    gauge('hostler_state_writable', '1: changes can be recorded; 0: they are refused', () =>
      now().journal.writable ? 1 : 0,
    );
    gauge('hostler_journal_set_aside', 'Records of the journal that cannot be read', () => now().journal.asideCount);
    gauge('hostler_cache_bytes', 'Space that they take', () => now().cacheBytes);
    gauge('hostler_cache_set_aside_files', "Files in the cache's folder that no fetch uses", () => now().setAside);
    gauge('hostler_cache_set_aside_bytes', 'Space that they take', () => now().setAsideBytes);
    gauge(
      'hostler_foreign_folders',
      'Private folders of other agents in the roots, at the start',
      () => now().foreignFolders,
    );
    gauge('hostler_foreign_bytes', 'Space that they take', () => now().foreignBytes);
  }

  call(rpc: string, code: string, ms: number): void {
    this.#calls.observe({ rpc, code }, ms / 1000);
  }

  refused(why: string): void {
    this.#refused.inc({ why });
  }

  cache(event: 'hit' | 'miss', bytes: bigint): void {
    this.#cacheUses.inc({ event });
    this.#cacheBytes.inc({ event }, Number(bytes));
  }

  networkBytes(bytes: number): void {
    this.#networkBytes.inc(bytes);
  }

  operation({ method, state }: OperationRecord): void {
    this.#operations.inc({ method, state });
  }
}
