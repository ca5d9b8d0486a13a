/** The life of a daemon: it opens its resources, recovers, serves, and stops. */
import { closeInherited } from '../adapters/linux/inherited-fds.js';
import type { Config } from '../adapters/config/config.js';
import { certificatesOf, listenersOf, reloadingAuthority } from './callers.js';
import { createLog, errorText, type Log } from '../adapters/telemetry/log.js';
import { LastResort } from '../adapters/telemetry/last-resort.js';
import { KeptOperationLines } from '../adapters/telemetry/kept-lines.js';
import { LogSink } from '../adapters/telemetry/log-sink.js';
import { keepThreadsSmall } from '../adapters/linux/free-memory.js';
import type { Metrics } from '../adapters/telemetry/metrics/metrics.js';
import { countCall, countRefusal } from './metrics/record.js';
import { readServer } from './metrics/sources.js';
import { tryTool } from '../adapters/process/try-tool.js';
import { collectLessOften } from '../protocol/garbage.js';
import { CONTRACT_VERSION } from '../protocol/version.js';
import { endProcess } from '../adapters/process/end-process.js';
import { ServiceManager } from '../adapters/host/service-manager.js';
import { endSandboxes, sandboxMark } from '../adapters/linux/orphans.js';
import { decisions } from './decisions.js';
import { assemble } from './engine-and-services.js';
import { sweepCache } from './folders.js';
import { sweep } from './sweep.js';
import { shareOf } from '../domain/model/share.js';
import { recover } from '../domain/operations/recovery/recovery.js';
import type { TouchedImages } from '../domain/operations/recovery/touched.js';
import { HttpServer } from '../server/http.js';
import { HostlerServer, type ServerLog } from '../server/server.js';
import { Stopping, type RunningServices } from './shutdown.js';
import type { Resources } from './resources.js';
import { isInternal } from '../domain/model/reasons/reasons.js';
import type { Paths } from '../domain/ports/paths.js';
import { openResources } from './open-resources.js';

/** Time for the last lines of the log at the end. */
const LAST_LINES_MS = 1000;

/** Settings of the whole process, made before anything else is opened. */
function installProcessHandlers(level: string) {
  const sink = new LogSink(process.stdout.fd);
  const operationLines = new KeptOperationLines(Date.now);
  const log = createLog(level, sink, operationLines);
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
  // A failure to print Node's own messages must not end the daemon.
  process.stderr.on('error', () => undefined);
  stopping.listen();
  const closed = closeInherited();
  if (closed.length > 0) log.debug('descriptors that were left open in this process are closed', { closed });
  const mishaps = () => ({
    uncaughtExceptions: lastResort.exceptions,
    forgottenFailures: lastResort.rejections,
    logLinesLost: sink.lost,
  });
  return { log, sink, stopping, mishaps, operationLines };
}

/**
 * Opens, recovers and serves, until a signal stops it. `descriptorFile` has the services for
 * reflection and request limits. Fails as opening does, with the log written.
 */
export async function serve(config: Config, file: string, descriptorFile: string): Promise<void> {
  const settled = installProcessHandlers(config.log.level);
  try {
    const { log, mishaps, operationLines } = settled;
    keepThreadsSmall();
    const resources = { ...(await openResources(config, log)), mishaps, operationLines };
    await start(resources, file, descriptorFile, settled.stopping);
    collectLessOften();
  } catch (error) {
    await settled.sink.flush(LAST_LINES_MS);
    throw error;
  }
}

async function start(resources: Resources, file: string, descriptorFile: string, stopping: Stopping): Promise<void> {
  const { config, log, metrics } = resources;
  const versions = versionsOf(resources);
  const { operations, handlers, recovery, targets, background, scope } = assemble(resources);
  for (const pid of await endSandboxes(sandboxMark(config.state_dir)))
    log.warn('a tool of an earlier start was ended', { pid });
  const swept = await resources.folders.sweep();
  if (swept.length > 0) log.warn('folders of an earlier start were removed', { swept });
  const { toResume, undecided } = await recover(recovery);
  await sweepCache(resources);
  await reportInterrupted(resources.touched, recovery.paths, log);
  for (const record of toResume) await operations.restart(record);
  const certificates = await certificatesOf(config, log);
  const authority = await reloadingAuthority(config, file, log);
  const server = new HostlerServer({
    listeners: await listenersOf(config, resources.runner),
    certificates,
    authority: authority.current,
    scope,
    audit: resources.audit,
    limits: wireLimits(config),
    descriptorFile,
    ...{ handlers, tracer: resources.tracing.tracer },
    log: serverLog(log, metrics),
  });
  await server.listen();
  process.on('SIGHUP', () => void Promise.all([certificates?.reload(), authority.reload()]));
  readServer(metrics, () => server.connections, certificates && (() => certificates.files));
  const http = new HttpServer(metrics, serverLog(log, metrics));
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
      // The process that sends it ends with the daemon.
      () => notified,
      ...closing(resources),
    ],
  });
  log.info('SERVING', { addresses, agent: resources.state.agentId, pid: process.pid, versions: await versions });
  void manager.ready();
  sweep(resources, targets, operations);
  for (const work of [...background, decisions(undecided, recovery, { operations, log })]) work.start();
}

/** The versions for a bug report. Never rejects. */
async function versionsOf({ version, runner }: Resources) {
  // A tool that does not answer does not prevent the start: work with it reports the cause.
  const said = await tryTool(runner)('qemu-img', '--version').catch(() => undefined);
  const qemu = /version (\S+)/.exec(said ?? '')?.[1] ?? 'not found';
  return { hostler: version, node: process.versions.node, 'qemu-img': qemu, contract: CONTRACT_VERSION };
}

function serverLog(log: Log, metrics: Metrics): ServerLog {
  return {
    call({ cause, tooMany, requestId, operationIds = [], ...rest }) {
      countCall(metrics, { ...rest, tooMany });
      if (tooMany) return;
      const [operationId, ...more] = operationIds;
      const facts = {
        ...rest,
        ...(requestId === undefined ? {} : { request_id: requestId }),
        ...(operationId === undefined ? {} : { operation_id: operationId }),
        ...(more.length === 0 ? {} : { operation_ids: operationIds }),
      };
      // An error that the caller can fix is not an error of the daemon.
      if (facts.reason !== undefined && isInternal(facts.reason))
        log.error('call', { ...facts, cause: errorText(cause) });
      else log.info('call', facts);
    },
    refused(peer, { message, cause }) {
      log.info('refused', { peer, why: message, ...(cause instanceof Error ? { cause: cause.message } : {}) });
    },
    dropped(why) {
      countRefusal(metrics, why);
    },
  };
}

/** In this order: each writes to resources that are closed after it. */
function closing({ audit, journal, cacheFolder, agentLocks, state, tracing }: Resources): RunningServices['close'] {
  return [
    () => audit.close(),
    () => journal.close(),
    () => cacheFolder.release(),
    () => {
      agentLocks.release();
      return undefined;
    },
    () => state.release(),
    () => tracing.close(),
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

/**
 * Reports images that an earlier daemon began to change in place and did not finish; marks of files
 * that are gone are removed.
 */
async function reportInterrupted(touched: TouchedImages, paths: Paths, log: Log): Promise<void> {
  for (const mark of touched.all) {
    const { address, method, operationId } = mark;
    const facts = { address, method, operation_id: operationId };
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
