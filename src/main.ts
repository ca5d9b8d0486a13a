/** Composition root: config -> adapters -> domain -> handlers -> server. */
import { fileURLToPath } from 'node:url';
import { closeInherited } from './adapters/linux/inherited-fds.js';
import { ConfigError, showConfig, type Config } from './adapters/config/config.js';
import { AuditLog, NO_AUDIT } from './adapters/telemetry/audit-log.js';
import { certificatesOf, listenersOf, reloadingAuthority } from './wiring/callers.js';
import { journalLog } from './adapters/journal/log.js';
import { JournalStore, JournalUnavailable } from './adapters/journal/store.js';
import { createLog, errorText, type Log } from './adapters/telemetry/log.js';
import { LastResort } from './adapters/telemetry/last-resort.js';
import { LogSink } from './adapters/telemetry/log-sink.js';
import type { Metrics } from './adapters/telemetry/metrics.js';
import { ProcessRunner } from './adapters/process/process.js';
import { endProcess } from './adapters/process/end-process.js';
import { Sandbox } from './adapters/process/sandbox.js';
import { ServiceManager } from './adapters/host/service-manager.js';
import { readVersion } from './protocol/version.js';
import { MemoryFolders } from './adapters/process/memory-folders.js';
import { endSandboxes, sandboxMark } from './adapters/linux/orphans.js';
import { StateFolderBroken, StateFolderBusy } from './adapters/owned/state-folder.js';
import { USAGE, ArgumentsError, parseArguments } from './wiring/arguments.js';
import { decisions } from './wiring/decisions.js';
import { assemble } from './wiring/engine-and-services.js';
import { claimCacheFolder, openFolders, sweepCache } from './wiring/folders.js';
import { sweep } from './wiring/sweep.js';
import { LeftoverError, listFolders, removeFoldersOf } from './wiring/leftover-folders.js';
import { problemsOf } from './wiring/check-config.js';
import { CacheIndex } from './domain/cache/cache-index.js';
import { OwnFileError, ownFile } from './domain/model/own-files.js';
import { shareOf } from './domain/model/share.js';
import { recover } from './domain/operations/recovery/recovery.js';
import { ResumeEntries } from './domain/operations/recovery/resume-entries.js';
import { RawDisks } from './domain/operations/raw-disks.js';
import { TouchedImages } from './domain/operations/recovery/touched.js';
import { HttpServer } from './server/http.js';
import { HostlerServer, type ServerLog } from './server/server.js';
import { ListenError } from './server/unix-socket.js';
import { Stopping, type RunningServices } from './wiring/shutdown.js';
import { TlsFilesBroken } from './protocol/certificate-files.js';
import type { Resources } from './wiring/resources.js';
import { trySandbox } from './adapters/process/try-sandbox.js';
import { loadConfig } from './wiring/load-config.js';
import { isInternal } from './domain/model/reasons/reasons.js';
import type { Paths } from './domain/ports/paths.js';

/** For what is left of the log at the end. */
const LAST_LINES_MS = 1000;
const DESCRIPTORS = fileURLToPath(new URL('../hostler.binpb', import.meta.url));
/** What an operator can put right, said without a stack. */
const EXPECTED = [
  ArgumentsError,
  LeftoverError,
  ConfigError,
  ListenError,
  TlsFilesBroken,
  StateFolderBusy,
  StateFolderBroken,
  JournalUnavailable,
  OwnFileError,
];

async function main(): Promise<void> {
  const values = parseArguments();
  if (values.help === true) {
    process.stdout.write(USAGE);
    return;
  }
  if (values.version === true) {
    process.stdout.write(`hostlerd ${readVersion()}\n`);
    return;
  }
  const config = await loadConfig(values.config);
  if (values['show-config'] === true) process.stdout.write(showConfig(config));
  else if (values['check-config'] === true) await checkConfig(config, values.config);
  else if (values['list-folders'] === true) await listFolders(config);
  else if (values['remove-folders-of'] !== undefined)
    await removeFoldersOf(config, values['remove-folders-of'], values.force === true);
  else await serve(config, values.config);
}

/** Fails with ConfigError, which has every problem. */
async function checkConfig(config: Config, file: string): Promise<void> {
  const problems = await problemsOf(config);
  if (problems.length > 0) throw new ConfigError(problems.map((problem) => `${file}: ${problem}`).join('\n'));
  process.stdout.write(`${file}: ok\n`);
}

/** What is the whole process's affair, before anything else is opened. */
function installProcessHandlers(level: string) {
  const sink = new LogSink(process.stdout.fd);
  const log = createLog(level, sink);
  const stopping = new Stopping(log, async (code) => {
    await sink.flush(LAST_LINES_MS);
    return endProcess(code);
  });
  const lastResort = new LastResort(log, Date.now, () => stopping.stop('too many exceptions', 1));
  process.on('unhandledRejection', (cause) => lastResort.rejection(cause));
  process.on('uncaughtException', (cause) => {
    lastResort.exception(cause);
    if (!stopping.isServing) stopping.stop('an exception before anything was served', 1);
  });
  // What Node itself has to say is not worth the daemon's end.
  process.stderr.on('error', () => undefined);
  stopping.listen();
  const closed = closeInherited();
  if (closed.length > 0) log.debug('descriptors that were left open in this process are closed', { closed });
  const mishaps = () => ({
    uncaughtExceptions: lastResort.exceptions,
    forgottenFailures: lastResort.rejections,
    logLinesLost: sink.lost,
  });
  return { log, sink, stopping, mishaps };
}

async function serve(config: Config, file: string): Promise<void> {
  const settled = installProcessHandlers(config.log.level);
  try {
    const resources = { ...(await openResources(config, settled.log)), mishaps: settled.mishaps };
    await start(resources, file, settled.stopping);
  } catch (error) {
    await settled.sink.flush(LAST_LINES_MS);
    throw error;
  }
}

async function start(resources: Resources, file: string, stopping: Stopping): Promise<void> {
  const { config, log } = resources;
  const { operations, handlers, metrics, recovery, targets, background, scope } = assemble(resources);
  for (const pid of await endSandboxes(sandboxMark(config.state_dir)))
    log.warn('a tool of an earlier start was ended', { pid });
  const swept = await resources.folders.sweep();
  if (swept.length > 0) log.warn('folders of an earlier start were removed', { swept });
  const { goOn, undecided } = await recover(recovery);
  await sweepCache(resources);
  await reportInterrupted(resources.touched, recovery.paths, log);
  for (const record of goOn) await operations.restart(record);
  const certificates = await certificatesOf(config, log);
  const authority = await reloadingAuthority(config, file, log);
  const server = new HostlerServer({
    listeners: await listenersOf(config, resources.runner),
    certificates,
    authority: authority.current,
    scope,
    audit: resources.audit,
    limits: wireLimits(config),
    descriptorFile: DESCRIPTORS,
    handlers,
    log: serverLog(log, metrics),
  });
  await server.listen();
  process.on('SIGHUP', () => void Promise.all([certificates?.reload(), authority.reload()]));
  const http = new HttpServer(metrics.registry, serverLog(log, metrics));
  const addresses = [
    ...server.addresses,
    ...(config.server.http === '' ? [] : [await http.listen(config.server.http)]),
  ];
  http.ready = true;
  const manager = new ServiceManager(resources.runner, process.env['NOTIFY_SOCKET'], (cause) =>
    log.error('the service manager could not be notified', { cause: errorText(cause) }),
  );
  let notified: Promise<void> = Promise.resolve();
  stopping.serves({
    operations,
    times: drainTimes(config),
    begin: () => {
      server.beginDrain();
      http.ready = false;
      notified = manager.stopping();
    },
    close: [
      () => Promise.resolve(certificates?.close()),
      () => server.close(),
      () => http.close(),
      // What sends it dies with the daemon.
      () => notified,
      ...closing(resources),
    ],
  });
  log.info('SERVING', { addresses, agent: resources.state.agentId, pid: process.pid });
  void manager.ready();
  sweep(resources, targets, operations);
  for (const work of [...background, decisions(undecided, recovery, { operations, log })]) work.start();
}

function serverLog(log: Log, metrics: Metrics): ServerLog {
  return {
    call({ cause, tooMany, ...facts }) {
      metrics.call(facts.rpc, facts.code, facts.ms);
      if (tooMany) return;
      // What the caller can put right is no error of ours.
      if (facts.reason !== undefined && isInternal(facts.reason))
        log.error('call', { ...facts, cause: errorText(cause) });
      else log.info('call', facts);
    },
    refused(peer, { message, cause }) {
      log.info('refused', { peer, why: message, ...(cause instanceof Error ? { cause: cause.message } : {}) });
    },
    dropped(why) {
      metrics.refused(why);
    },
  };
}

/** In this order: each is written to by what is closed before it. */
function closing({ audit, journal, cacheFolder, agentLocks, state }: Resources): RunningServices['close'] {
  return [
    () => audit.close(),
    () => journal.close(),
    () => cacheFolder.release(),
    () => {
      agentLocks.release();
      return undefined;
    },
    () => state.release(),
  ];
}

function drainTimes({ server }: Config) {
  return { graceMs: server.drain_seconds * 1000, giveUpMs: server.give_up_seconds * 1000 };
}

function wireLimits({ limits }: Config) {
  return {
    streamsPerConnection: limits.streams_per_connection,
    callsPerCaller: limits.calls_per_caller,
    partBytesPerCaller: limits.part_bytes_per_caller,
    watchesPerCaller: limits.watches_per_caller,
    incomingStreamsPerCaller: limits.incoming_streams_per_caller,
    firstMessageMs: limits.first_message_seconds * 1000,
    unreadMs: limits.unread_seconds * 1000,
    answerBytes: {
      inAll: limits.answer_bytes,
      perCaller: shareOf(limits.answer_bytes, limits.callers_part / 2),
      oneBeyond: true,
    },
    denialsPerSecond: limits.denials_per_second,
    connections: limits.connections,
    connectionsPerCaller: limits.connections_per_caller,
    halfOpen: limits.half_open_connections,
    handshakeMs: limits.handshake_seconds * 1000,
  };
}

/** Only root can change its user. */
function assertMayBecome({ commands }: Config): void {
  const other = commands.find(({ user }) => user !== undefined);
  if (other !== undefined && process.getuid?.() !== 0)
    throw new ConfigError(
      `commands: ${other.name} has a user, and only a daemon that is root can run it as somebody else`,
    );
}

/**
 * What everything stands on: the door for processes, the daemon's own folder, the roots, the
 * journal.
 */
async function openResources(config: Config, log: Log): Promise<Omit<Resources, 'mishaps'>> {
  assertMayBecome(config);
  const folders = new MemoryFolders(sandboxMark(config.state_dir));
  const runner = await openRunner(config, folders, log);
  const { state, folderSet, agentLocks, lockQuery, rootMounts } = await openFolders(config, runner, log);
  const journal = await JournalStore.open({
    folder: state.realPath,
    limits: { operations: config.limits.history_operations, ms: config.limits.history_hours * 3600 * 1000 },
    clock: Date.now,
    log: journalLog(log),
  });
  const touched = await TouchedImages.load(journal);
  const rawDisks = await RawDisks.load(journal, (error) =>
    log.warn('that a disk is raw could not be written down', { cause: errorText(error) }),
  );
  const { resume_hours: hours, resume_bytes: bytes } = config.limits;
  const resumes = await ResumeEntries.load(journal, { ttlMs: hours * 3600 * 1000, bytes: BigInt(bytes) }, Date.now);
  const audit = await openAudit(config, log);
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
    cache,
    version: readVersion(),
  };
}

/** Fails with OwnFileError. */
async function openAudit({ audit: { file, mode }, limits }: Config, log: Log): Promise<Resources['audit']> {
  if (file === undefined) return NO_AUDIT;
  const required = mode === 'require';
  const onFailed = (cause: unknown) => log.error('the audit log cannot be written', { file, cause: errorText(cause) });
  const audit = new AuditLog({ file, required, onFailed, patienceMs: limits.root_patience_ms });
  await ownFile('the audit log (audit.file)', file, () => audit.open());
  return audit;
}

/**
 * The door for processes, with the sandbox that the configuration wants and the host can make.
 * Fails with ConfigError.
 */
async function openRunner(config: Config, folders: MemoryFolders, log: Log): Promise<ProcessRunner> {
  const { limits } = config;
  const { mode } = config.sandbox;
  const options = {
    killGraceMs: limits.tool_kill_grace_ms,
    searchPath: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin',
    prefix: priorityPrefix(limits.tools),
    folders,
    log: {
      child: (facts: object) => log.debug('child', facts),
      abandoned: (facts: object) => log.warn('a tool cannot be ended, and runs on', facts),
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

/**
 * Images that a daemon before us began to change in place and did not finish; what has gone since
 * is forgotten.
 */
async function reportInterrupted(touched: TouchedImages, paths: Paths, log: Log): Promise<void> {
  for (const mark of touched.all) {
    const { address, method, operationId } = mark;
    const facts = { address, method, operation: operationId };
    const file = await paths.source(address).catch((cause: unknown) => {
      // Its filesystem may not be mounted now: the mark stays.
      log.warn('an image that may be half changed cannot be looked at', { ...facts, cause: errorText(cause) });
      return undefined;
    });
    await file?.handle.close();
    if (file === undefined) continue;
    if (touched.find(file, address) === mark) log.warn('an image may be half changed: repeat the operation', facts);
    else await touched.drop(mark);
  }
}

/** Tools run at the priority that the configuration says. */
function priorityPrefix({ nice, ionice }: Config['limits']['tools']): string[][] {
  return [
    ...(nice === undefined ? [] : [['nice', '-n', String(nice)]]),
    ...(ionice === undefined ? [] : [['ionice', '-c', ionice === 'idle' ? '3' : '2', '-n', '7']]),
  ];
}

try {
  await main();
} catch (error) {
  const known = EXPECTED.some((kind) => error instanceof kind);
  process.stderr.write(`hostlerd: ${known && error instanceof Error ? error.message : (errorText(error) ?? '')}\n`);
  // Also where a call into a filesystem still hangs, which `process.exit` would wait for.
  await endProcess(1);
}
