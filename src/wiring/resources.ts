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
  /** Roots of files. */
  readonly roots: readonly Root[];
  readonly rootMounts: RememberedMounts;
  readonly agentLocks: AgentLocks;
  /** Real paths of folders that no address reaches; a root inside one of them can be reached. */
  readonly closedFolders: readonly string[];
  /** Real path of the folder of the instances, if it exists. */
  readonly instancesFolder: string;
  /** The state folder and the cache folder. */
  readonly ownFolders: readonly OwnFolder[];
  /**
   * Roots of block devices, and the folder that their links may lead to: /dev. Unset if there are
   * none.
   */
  readonly devices: { readonly roots: readonly Root[]; readonly nodes: Root | undefined };
  readonly journal: JournalStore;
  /**
   * At this start the journal was moved aside, or some record could not be read: its knowledge is
   * incomplete, and in this life of the daemon nothing may be removed because it is missing in the
   * journal.
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
  /** Counters of the process's mishaps, for the metrics. */
  readonly mishaps: () => Mishaps;
  readonly operationLines: OperationLines;
  /** Unset if the host does not support queries for the locks of one file. */
  readonly lockQuery: LockQuery | undefined;
}

export interface Mishaps {
  readonly uncaughtExceptions: number;
  readonly forgottenFailures: number;
  readonly logLinesLost: number;
}
