/** Sources of the values that are read at each scrape: from memory, never from a disk. */
import { SLOTS } from '../../adapters/telemetry/metrics/label-values.js';
import type { Metrics, Sample } from '../../adapters/telemetry/metrics/metrics.js';
import type { PlaceSpace, PlaceState, SpaceWatch } from '../../domain/host/space-watch.js';
import type { LiveOperation } from '../../domain/operations/live-operation.js';
import type { LockTable } from '../../domain/operations/resources/locks.js';
import type { Slots } from '../../domain/operations/resources/slots.js';
import type { SpaceLedger } from '../../domain/operations/resources/space.js';
import { expiryOf } from '../../protocol/certificate-expiry.js';
import type { TlsFiles } from '../../protocol/certificate-files.js';
import { CONTRACT_VERSION } from '../../protocol/version.js';
import type { Resources } from '../resources.js';
import type { LeftoverLog } from '../sweep.js';

interface EngineState {
  readonly slots: Slots;
  readonly locks: LockTable;
  readonly space: SpaceLedger;
  readonly live: () => Iterable<LiveOperation>;
}

/** Values from the engine. */
export function readEngine(metrics: Metrics, { slots, locks, space, live }: EngineState): void {
  const bySlot = (of: 'running' | 'waiting' | 'limit') => () =>
    SLOTS.map((slot) => [{ slot }, slots.usage(slot)[of]] as const);
  metrics.read('hostler_operations_running', bySlot('running'));
  metrics.read('hostler_operations_waiting', bySlot('waiting'));
  metrics.read('hostler_operations_limit', bySlot('limit'));
  metrics.read('hostler_operation_progress_bytes_per_second', () => ratesOf(live()));
  metrics.readOne('hostler_locks', () => locks.size);
  metrics.readOne('hostler_space_reservations', () => space.size);
}

/** Values from the state folder, the cache and the process. */
export function readResources(
  metrics: Metrics,
  { cache, cacheFolder, config, journal, mishaps, resumes, runner, version }: Resources,
  leftovers: LeftoverLog,
): void {
  const build = { version, contract: CONTRACT_VERSION, node: process.versions.node, sandbox: runner.sandboxName };
  metrics.read('hostler_build_info', () => [[build, 1]]);
  metrics.readOne('hostler_cache_entries', () => cache.all.length);
  metrics.readOne('hostler_cache_bytes', () => Number(cache.bytes));
  metrics.readOne('hostler_cache_limit_bytes', () => config.cache.max_bytes);
  metrics.readOne('hostler_cache_set_aside_files', () => cache.aside.length + cacheFolder.latest.count);
  metrics.readOne('hostler_cache_set_aside_bytes', () =>
    Number(cache.aside.reduce((sum, { info }) => sum + info.allocatedBytes, 0n) + cacheFolder.latest.bytes),
  );
  metrics.readOne('hostler_resume_entries', () => resumes.kept.length);
  metrics.readOne('hostler_resume_bytes', () => Number(resumes.keptBytes));
  metrics.readOne('hostler_foreign_folders', () => leftovers.count);
  metrics.readOne('hostler_foreign_bytes', () => leftovers.bytes);
  metrics.readOne('hostler_state_writable', () => (journal.writable ? 1 : 0));
  metrics.readOne('hostler_journal_size_bytes', () => journal.sizeBytes);
  metrics.readOne('hostler_journal_set_aside_records', () => journal.asideCount);
  metrics.readOne('hostler_log_lines_lost_total', () => mishaps().logLinesLost);
  metrics.readOne('hostler_uncaught_exceptions_total', () => mishaps().uncaughtExceptions);
  metrics.readOne('hostler_forgotten_failures_total', () => mishaps().forgottenFailures);
}

/** The last measurement of the roots and pools; each scrape starts another one. */
export function readSpace(
  metrics: Metrics,
  { roots, pools }: { readonly roots: SpaceWatch; readonly pools: SpaceWatch },
) {
  const [root, pool] = [samplesOf(roots, 'root'), samplesOf(pools, 'pool')];
  metrics.beforeScrape(() => {
    // The figures of one scrape are from the same moment.
    root.remember();
    pool.remember();
    roots.start();
    pools.start();
  });
  metrics.read('hostler_root_size_bytes', root.bytes('sizeBytes'));
  metrics.read('hostler_root_free_bytes', root.bytes('freeBytes'));
  metrics.read('hostler_root_reserved_bytes', root.bytes('reservedBytes'));
  metrics.read('hostler_root_overcommitted_bytes', root.bytes('overcommittedBytes'));
  metrics.read('hostler_root_stalled', root.is('stalled'));
  metrics.read('hostler_root_unavailable', root.is('unavailable'));
  metrics.read('hostler_pool_size_bytes', pool.bytes('sizeBytes'));
  metrics.read('hostler_pool_free_bytes', pool.bytes('freeBytes'));
  metrics.read('hostler_pool_reserved_bytes', pool.bytes('reservedBytes'));
  metrics.read('hostler_pool_stalled', pool.is('stalled'));
  metrics.read('hostler_pool_unavailable', pool.is('unavailable'));
}

/** Connections, and the certificate in use if there is one. */
export function readServer(metrics: Metrics, connections: () => number, files: (() => TlsFiles) | undefined): void {
  metrics.readOne('hostler_connections', connections);
  let known:
    | { readonly files: TlsFiles; readonly samples: Sample<'hostler_certificate_expiry_timestamp_seconds'>[] }
    | undefined;
  metrics.read('hostler_certificate_expiry_timestamp_seconds', () => {
    const now = files?.();
    if (now === undefined) return [];
    // Parsed once each time the files are read.
    if (known?.files !== now)
      known = {
        files: now,
        samples: [
          [{ certificate: 'own' }, expiryOf(now.cert)],
          [{ certificate: 'ca' }, expiryOf(now.ca)],
        ],
      };
    return known.samples;
  });
}

/** Bytes a second of running operations, by verb; 0 for verbs without any. */
function ratesOf(live: Iterable<LiveOperation>): Sample<'hostler_operation_progress_bytes_per_second'>[] {
  const rates = new Map<string, number>();
  for (const { record } of live)
    rates.set(record.method, (rates.get(record.method) ?? 0) + Number(record.progress?.bytesPerSecond ?? 0n));
  return [...rates].map(([verb, rate]) => [{ verb }, rate]);
}

/** The last measurement of places, with their names as a label. */
function samplesOf<Label extends 'root' | 'pool'>(watch: SpaceWatch, label: Label) {
  type Labels = Readonly<Record<Label, string>>;
  // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- a computed key has no type of its own
  const labels = (name: string) => ({ [label]: name }) as Labels;
  let states: readonly (readonly [name: string, state: PlaceState])[] = [];
  return {
    remember: () => {
      states = [...watch.states];
    },
    /** Of places that have answered at least once. */
    bytes: (figure: keyof PlaceSpace) => () =>
      states.flatMap(([name, { space }]) => {
        const bytes = space?.[figure];
        return bytes === undefined ? [] : [[labels(name), Number(bytes)] as const];
      }),
    is: (wanted: PlaceState['state']) => () =>
      states.map(([name, { state }]) => [labels(name), state === wanted ? 1 : 0] as const),
  };
}
