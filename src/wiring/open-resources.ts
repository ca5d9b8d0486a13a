/** Opens the resources of the daemon. */
import { ConfigError, type Config } from '../adapters/config/config.js';
import { AuditLog, NO_AUDIT } from '../adapters/telemetry/audit-log.js';
import { journalLog } from '../adapters/journal/log.js';
import { JournalStore } from '../adapters/journal/store.js';
import { errorText, type Log } from '../adapters/telemetry/log.js';
import { ProcessRunner, type EndedChild } from '../adapters/process/process.js';
import { Sandbox } from '../adapters/process/sandbox.js';
import { readVersion } from '../protocol/version.js';
import { MemoryFolders } from '../adapters/process/memory-folders.js';
import { sandboxMark } from '../adapters/linux/orphans.js';
import { claimCacheFolder, openFolders } from './folders.js';
import { CacheIndex } from '../domain/cache/cache-index.js';
import { ownFile } from '../domain/model/own-files.js';
import { ResumeEntries } from '../domain/operations/recovery/resume-entries.js';
import { RawDisks } from '../domain/operations/raw-disks.js';
import { TouchedImages } from '../domain/operations/recovery/touched.js';
import { createMetrics } from './metrics/create-metrics.js';
import { countChild } from './metrics/record.js';
import type { Metrics } from '../adapters/telemetry/metrics/metrics.js';
import type { Resources } from './resources.js';
import { openTracing, traceChild } from './tracing.js';
import { trySandbox } from '../adapters/process/try-sandbox.js';

/** Only root can change its user. */
function assertMayBecome({ commands }: Config): void {
  const other = commands.find(({ user }) => user !== undefined);
  if (other !== undefined && process.getuid?.() !== 0)
    throw new ConfigError(
      `commands: ${other.name} has a user, and only a daemon that is root can run it as somebody else`,
    );
}

/**
 * Opens the resources that everything else needs: the process runner, the daemon's own folder, the
 * roots, the journal.
 */
export async function openResources(config: Config, log: Log): Promise<Omit<Resources, 'mishaps' | 'operationLines'>> {
  assertMayBecome(config);
  const folders = new MemoryFolders(sandboxMark(config.state_dir));
  const metrics = createMetrics();
  const version = readVersion();
  const runner = await openRunner(config, folders, log, metrics);
  const { state, folderSet, agentLocks, lockQuery, rootMounts } = await openFolders(config, runner, log);
  const journal = await JournalStore.open({
    folder: state.realPath,
    limits: { operations: config.limits.history_operations, ms: config.limits.history_hours * 3600 * 1000 },
    clock: Date.now,
    log: journalLog(log, (seconds) => metrics.observe('hostler_journal_write_duration_seconds', {}, seconds)),
  });
  const touched = await TouchedImages.load(journal);
  const rawDisks = await RawDisks.load(journal, (error) =>
    log.warn('the note that a disk is raw could not be written', { cause: errorText(error) }),
  );
  const { resume_hours: hours, resume_bytes: bytes } = config.limits;
  const resumes = await ResumeEntries.load(journal, { ttlMs: hours * 3600 * 1000, bytes: BigInt(bytes) }, Date.now);
  const audit = await openAudit(config, log, metrics);
  const { max_bytes: maxBytes, max_age_hours: maxAge } = config.cache;
  const cacheLimits = { maxBytes: BigInt(maxBytes), maxAgeMs: maxAge * 3600 * 1000 };
  const cache = await CacheIndex.load(journal, cacheLimits, Date.now);
  await claimCacheFolder(folderSet.cacheFolder, { cache, state, runner });
  return {
    config,
    log,
    runner,
    folders,
    state,
    ...folderSet,
    journal,
    journalMovedAside: journal.incomplete,
    touched,
    rawDisks,
    resumes,
    lockQuery,
    agentLocks,
    rootMounts,
    audit,
    metrics,
    cache,
    tracing: await openTracing(config, log, { version, agentId: state.agentId }),
    version,
  };
}

/** Fails with OwnFileError. */
async function openAudit(
  { audit: { file, mode }, limits }: Config,
  log: Log,
  metrics: Metrics,
): Promise<Resources['audit']> {
  if (file === undefined) return NO_AUDIT;
  const required = mode === 'require';
  const onFailed = (cause: unknown) => {
    metrics.add('hostler_audit_failures_total', {});
    log.error('the audit log cannot be written', { file, cause: errorText(cause) });
  };
  const audit = new AuditLog({ file, required, onFailed, patienceMs: limits.root_patience_ms });
  await ownFile('the audit log (audit.file)', file, () => audit.open());
  return audit;
}

/**
 * The process runner, with the sandbox that the configuration requires and the host supports. Fails
 * with ConfigError.
 */
async function openRunner(config: Config, folders: MemoryFolders, log: Log, metrics: Metrics): Promise<ProcessRunner> {
  const { limits } = config;
  const { mode } = config.sandbox;
  const options = {
    killGraceMs: limits.tool_kill_grace_ms,
    searchPath: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin',
    prefix: priorityPrefix(limits.tools),
    folders,
    log: {
      child: (ended: EndedChild) => {
        const { expected, ...facts } = ended;
        log[expected ? 'debug' : 'info']('child', facts);
        traceChild(ended);
      },
      abandoned: (facts: object) => log.warn('a tool cannot be ended, and runs on', facts),
      counted: countChild(metrics),
    },
  };
  const bare = new ProcessRunner(options);
  if (mode === 'off') return bare;
  const sandboxed = new ProcessRunner({
    ...options,
    sandbox: new Sandbox(process.getuid?.() === 0, options.searchPath, sandboxMark(config.state_dir)),
  });
  const problem = await trySandbox(sandboxed);
  if (problem === undefined) return sandboxed;
  if (mode === 'require')
    throw new ConfigError(`sandbox.mode = "require", but there is no working sandbox: ${problem}`);
  log.warn('no sandbox: tools run with the rights of the daemon, and no untrusted image is worked on', {
    why: problem,
  });
  return new ProcessRunner({ ...options, refuseForeign: true });
}

/** Runs tools at the configured priority. */
function priorityPrefix({ nice, ionice }: Config['limits']['tools']): string[][] {
  return [
    ...(nice === undefined ? [] : [['nice', '-n', String(nice)]]),
    ...(ionice === undefined ? [] : [['ionice', '-c', ionice === 'idle' ? '3' : '2', '-n', '7']]),
  ];
}
