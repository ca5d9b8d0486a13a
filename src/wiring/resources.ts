import type { Config } from '../adapters/config/config.js';
import type { Log } from '../adapters/telemetry/log.js';
import type { Tracing } from './tracing.js';
import type { Metrics } from '../adapters/telemetry/metrics/metrics.js';
import type { ProcessRunner } from '../adapters/process/process.js';
import type { MemoryFolders } from '../adapters/process/memory-folders.js';
import type { StateFolder } from '../adapters/owned/state-folder.js';
import type { Root } from '../adapters/paths/roots.js';
import type { RememberedMounts } from '../adapters/owned/remembered.js';
import type { AgentLocks } from '../adapters/owned/agent-locks.js';
import type { OwnFolder } from '../adapters/paths/path-walk.js';
import type { JournalStore } from '../adapters/journal/store.js';
import type { TouchedImages } from '../domain/operations/recovery/touched.js';
import type { RawDisks } from '../domain/operations/raw-disks.js';
import type { ResumeEntries } from '../domain/operations/recovery/resume-entries.js';
import type { CacheIndex } from '../domain/cache/cache-index.js';
import type { CacheFolder } from '../adapters/files/cache-folder.js';
import type { AuditTrail } from '../domain/access/audit.js';
import type { OperationLines } from '../domain/ports/operation-lines.js';
import type { LockQuery } from '../adapters/gates/lock-query.js';

export interface Resources {
  readonly config: Config;
  readonly log: Log;
  readonly runner: ProcessRunner;
  readonly folders: MemoryFolders;
  readonly state: StateFolder;
  /** Of files. */
  readonly roots: readonly Root[];
  readonly rootMounts: RememberedMounts;
  readonly agentLocks: AgentLocks;
  /** Real paths of folders that no address reaches; a root in one of them is reached. */
  readonly closedFolders: readonly string[];
  /** Real path of the folder of the instances, where it is there. */
  readonly instancesFolder: string;
  /** The state folder and the cache's. */
  readonly ownFolders: readonly OwnFolder[];
  /** Of block devices, and where their links may lead: /dev. Unset where there are none. */
  readonly devices: { readonly roots: readonly Root[]; readonly nodes: Root | undefined };
  readonly journal: JournalStore;
  /**
   * At this start the journal was moved aside, or something in it could not be read: it does not
   * know everything that is ours, and nothing may be removed in this life of the daemon because the
   * journal does not know it.
   */
  readonly journalMovedAside: boolean;
  readonly version: string;
  readonly touched: TouchedImages;
  readonly rawDisks: RawDisks;
  readonly resumes: ResumeEntries;
  readonly cache: CacheIndex;
  readonly cacheFolder: CacheFolder;
  readonly audit: AuditTrail;
  readonly metrics: Metrics;
  readonly tracing: Tracing;
  /** What the process has come through, for the metrics. */
  readonly mishaps: () => Mishaps;
  readonly operationLines: OperationLines;
  /** Unset where the host cannot be asked for the locks of one file. */
  readonly lockQuery: LockQuery | undefined;
}

export interface Mishaps {
  readonly uncaughtExceptions: number;
  readonly forgottenFailures: number;
  readonly logLinesLost: number;
}
