/**
 * The second half of the composition root: connects adapters and domain according to the
 * configuration.
 */
import { monotonicFactory } from 'ulid';
import { release } from 'node:os';
import { assembleFetch } from './fetching.js';
import { ConfiguredCommands } from '../adapters/process/commands.js';
import { ArgumentPatterns } from '../adapters/process/argument-patterns.js';
import type { Config } from '../adapters/config/config.js';
import { DomainXml } from '../adapters/host/domain-xml.js';
import { Failpoints } from '../adapters/process/failpoints.js';
import { LocalHostProbe } from '../adapters/host/host-probe.js';
import { PathLooks } from '../adapters/gates/path-looks.js';
import { LinuxHost } from '../adapters/host/linux-host.js';
import { errorText, type Log } from '../adapters/telemetry/log.js';
import { LocalContents } from '../adapters/files/local-contents.js';
import { slotWatch } from './metrics/record.js';
import { readEngine, readResources, readSpace } from './metrics/sources.js';
import { watchedPlaces } from './metrics/watched-places.js';
import { Owners } from '../adapters/files/owners.js';
import { NO_ORPHANS, ProcessOrphans } from '../adapters/linux/orphans.js';
import { TreeOwners } from '../adapters/files/tree-owners.js';
import { tryTool } from '../adapters/process/try-tool.js';
import { Virsh } from '../adapters/host/virsh.js';
import { Digests } from '../domain/verbs/digest-image.js';
import { backgroundWork } from './background.js';
import { foreignLimits, letGoMs, slotsOf, toolLimits } from './limits.js';
import { auditEntry, facts, operationLog } from './operation-log.js';
import { LeftoverLog } from './sweep.js';
import { assembleInventory, assembleLooks } from './looks.js';
import { assembleStorage } from './storage.js';
import { PathScope } from '../domain/access/path-scope.js';
import { currentWork } from '../domain/model/current-work.js';
import { transferPorts } from './transfers.js';
import { Admission } from '../domain/operations/admission.js';
import { Operations } from '../domain/operations/engine.js';
import type { Step } from '../domain/operations/engine-ports.js';
import { LockTable } from '../domain/operations/resources/locks.js';
import { OperationQueries } from '../domain/operations/query.js';
import type { RecoveryPorts } from '../domain/operations/recovery/recovery.js';
import { ResumableLeftovers } from '../domain/operations/recovery/resumable-leftovers.js';
import { SpaceLedger } from '../domain/operations/resources/space.js';
import { ReadCallLimit } from '../domain/verbs/read-call-limit.js';
import { shareOf } from '../domain/model/share.js';
import { knownHeaders } from '../domain/images/known-headers.js';
import { ImageReader } from '../domain/images/read-image.js';
import { commandHandlers } from '../handlers/command.js';
import { FEATURES, type Feature } from '../protocol/version.js';
import { fileHandlers } from '../handlers/file.js';
import { hostHandlers } from '../handlers/host-info.js';
import { FolderShelf } from '../adapters/paths/folder-shelf.js';
import { imageHandlers } from '../handlers/image.js';
import { operationHandlers } from '../handlers/operation.js';
import type { CommandRule } from '../domain/ports/commands.js';
import type { Resources } from './resources.js';

/**
 * Limit of running calls with tools that only read. Each uses a processor, so one caller's share is
 * half of the usual one.
 */
const READING_CALLS = 32;

/**
 * Creates the engine, the services and the background work from the opened resources. Starts
 * nothing.
 */
export function assemble(resources: Resources) {
  const { log, journal, resumes, state } = resources;
  const engine = assembleEngine(resources);
  const { operations, paths, targets, index, overcommit, scope } = engine;
  const recovery: RecoveryPorts = {
    journal,
    end: (record) => operations.end(record),
    paths,
    targets,
    trees: engine.trees,
    // The journal of a copied state folder names processes of another daemon, which may be running.
    orphans: state.former === undefined ? new ProcessOrphans() : NO_ORPHANS,
    resumes,
    resumesAfterRestart: (record) => state.former === undefined && operations.resumesAfterRestart(record),
    clock: Date.now,
    log: {
      recovered(record, removed) {
        log.warn('recovered', { ...facts(record), removed });
        void resources.audit.end(auditEntry(record));
      },
      undecided: (record, cause) =>
        log.warn('the outcome of an operation is unknown: its folder cannot be reached now', {
          ...facts(record),
          cause: errorText(cause),
        }),
      failed: (record, cause) => log.error('recovery failed', { ...facts(record), cause: errorText(cause) }),
    },
  };
  const host = hostOf(resources, engine);
  const watches = watchedPlaces(resources.config, { ...engine, filesystems: host });
  readSpace(resources.metrics, watches);
  const background = [
    index,
    overcommit,
    // Without the HTTP server the figures are not used.
    ...(resources.config.server.http === '' ? [] : [watches.roots, watches.pools]),
    ...backgroundWork(resources, { ...engine, imageCache: engine.fetching.imageCache }),
  ];
  const handlers = assembleHandlers(resources, engine, host);
  return { operations, handlers, recovery, targets, background, scope };
}

/** The operations engine and its ports. */
function assembleEngine(resources: Resources) {
  const { config, log, runner, journal, touched, rawDisks, resumes, metrics } = resources;
  const { limits, debug } = config;
  const owners = new Owners(runner);
  const { index, overcommit } = assembleLooks(resources);
  const leftovers = new LeftoverLog(log);
  const scope = new PathScope(config.pools.some(({ roles }) => roles !== undefined));
  const storage = assembleStorage(resources, {
    limits: toolLimits(limits.tools),
    foreignLimits: foreignLimits(limits),
    owners,
    index,
    scope,
    sweepLog: leftovers,
  });
  const { paths, files, imageLocks, dependants, targets, wholeness } = storage;
  const locks = new LockTable();
  const foreign = { allowed: runner.allowsForeign, maxBytes: BigInt(limits.foreign.image_bytes) };
  const readerPorts = { paths, files, wholeness, foreign, onRaw: rawDisks.declare };
  const reader = new ImageReader(readerPorts);
  const infoReader = new ImageReader({ ...readerPorts, known: knownHeaders(Date.now) });
  const slots = slotsOf(limits, slotWatch(metrics));
  const space = new SpaceLedger(BigInt(limits.space_overhead_bytes), limits.root_patience_ms);
  const operations = new Operations({
    journal,
    admission: new Admission({ paths, reader, imageLocks, dependants, scope }),
    locks,
    slots,
    space,
    ...{ touched, rawDisks },
    resumes,
    targets,
    files,
    ...{ clock: Date.now, newId: monotonicFactory() },
    step: loggedStep(log, new Failpoints(debug.failpoints, (method, step) => log.info('paused', { method, step }))),
    tracer: resources.tracing.tracer,
    log: operationLog(log, metrics, resources.audit),
    letGoMs: letGoMs(limits),
    watchIntervalMs: 1000 / limits.events_per_second,
  });
  readEngine(metrics, { slots, locks, space, live: () => operations.live.values() });
  readResources(metrics, resources, leftovers);
  const keptWork = new ResumableLeftovers({ resumes, paths, targets, locks });
  const fetching = assembleFetch(resources, {
    ...storage,
    operations,
    reader,
    metrics,
    foreignLimits: foreignLimits(limits),
  });
  return { ...storage, fetching, operations, reader, infoReader, space, overcommit, owners, keptWork, index, scope };
}

/** Logs and traces each step, except those that occur every second during a transfer. */
function loggedStep(log: Log, { step }: Failpoints): Step {
  return (operationId, method, name) => {
    if (name !== 'checkpoint') {
      log.debug('step', { operation_id: operationId, step: name });
      currentWork().span?.event(name);
    }
    return step(operationId, method, name);
  };
}

type Engine = ReturnType<typeof assembleEngine>;

/** The optional parts of the contract that this daemon serves. */
function featuresOf({ commands, pools, tls }: Config): Feature[] {
  const isConfigured = { commands: commands.length > 0, pools: pools.length > 0, agents: tls !== undefined };
  return [...FEATURES, ...(['commands', 'pools', 'agents'] as const).filter((feature) => isConfigured[feature])];
}

/** Facts about this host from the system. */
function hostOf({ config, runner }: Resources, { localPaths, scope }: Engine): LinuxHost {
  const pathLooks = new PathLooks(config.limits.root_patience_ms);
  return new LinuxHost(localPaths, config.iscsi_initiator_file, tryTool(runner), scope, pathLooks);
}

/** Everything for the services except the engine. */
function assembleHandlers(resources: Resources, engine: Engine, host: LinuxHost) {
  const { config, runner, folders, state, roots, ownFolders, devices, version, touched, rawDisks } = resources;
  const { operations, space, overcommit, owners } = engine;
  const inventory = assembleInventory(resources);
  const sandbox = runner.sandboxName;
  const agent = { id: state.agentId, version, kernel: release(), sandbox, features: featuresOf(config) };
  const digests = new Digests({
    tool: engine.tool,
    files: engine.files,
    hasher: engine.hasher,
    clock: Date.now,
  });
  return {
    image: imageHandlers(operations, {
      ...engine,
      digests,
      ...transferPorts(config, { runner, folders }, state.agentId, toolLimits(config.limits.tools), engine.scope),
      ...engine.fetching,
      touched,
      inventory,
      makers: { journal: operations.ports.journal, live: operations.live },
      isRaw: (file) => rawDisks.knows(file),
      shareFolders: () => new FolderShelf(),
      readers: new ReadCallLimit(READING_CALLS, shareOf(READING_CALLS, config.limits.callers_part / 2)),
      domains: new Virsh(runner, config.libvirt_uri),
      domainXml: new DomainXml(),
    }),
    operation: operationHandlers(
      new OperationQueries(operations, engine.keptWork, resources.operationLines),
      state.agentId,
    ),
    host: hostHandlers({
      filesystems: host,
      pools: engine.pools,
      host,
      space,
      overcommit,
      instancesPath: config.instances_path,
      probe: new LocalHostProbe(runner, roots, devices.roots, state.agentId),
      agent,
    }),
    file: fileHandlers(operations, {
      ...engine,
      contents: new LocalContents(),
      ownership: new TreeOwners(owners, ownFolders),
    }),
    command: commandHandlers(operations, {
      rules: config.commands.map(commandRule),
      commands: new ConfiguredCommands(runner),
    }),
  };
}

function commandRule({ timeout_seconds, exit_codes, user, ...rest }: Config['commands'][number]): CommandRule {
  return {
    ...rest,
    arguments: new ArgumentPatterns(rest.arguments),
    timeoutMs: timeout_seconds * 1000,
    exitCodes: exit_codes,
    ...(user === undefined ? {} : { user }),
  };
}
