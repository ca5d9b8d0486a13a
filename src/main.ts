/** Composition root: config -> adapters -> domain -> handlers -> server. */
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';
import { monotonicFactory } from 'ulid';
import { ConfigError, loadConfig, showConfig, type Config } from './adapters/config.js';
import { CpReflink } from './adapters/cp-reflink.js';
import { LocalFiles } from './adapters/files.js';
import { FileTargets } from './adapters/file-targets.js';
import { createLog, errorText, type Log } from './adapters/log.js';
import { MemoryJournal } from './adapters/memory-journal.js';
import { Metrics } from './adapters/metrics.js';
import { Owners } from './adapters/owners.js';
import { RootedPaths } from './adapters/paths.js';
import { ProcessRunner } from './adapters/process.js';
import { QemuImg } from './adapters/qemu-img.js';
import { QemuLocks } from './adapters/qemu-locks.js';
import { openRoots, type Root } from './adapters/roots.js';
import { openStateFolder, StateFolderBusy, type StateFolder } from './adapters/state-folder.js';
import { Admission } from './domain/operations/admission.js';
import { Operations } from './domain/operations/engine.js';
import { LockTable } from './domain/operations/locks.js';
import { OperationQueries } from './domain/operations/query.js';
import { Slots } from './domain/operations/slots.js';
import { ImageReader } from './domain/read-image.js';
import { imageHandlers } from './handlers/image.js';
import { operationHandlers } from './handlers/operation.js';
import { HttpServer } from './server/http.js';
import { HostlerServer } from './server/server.js';
import { ListenError } from './server/unix-socket.js';

const DEFAULT_CONFIG = '/etc/hostler/hostler.toml';
const DESCRIPTORS = fileURLToPath(new URL('../hostler.binpb', import.meta.url));
const USAGE = `usage: hostlerd [--config FILE] [--check-config | --show-config]\n`;
/** Enough exports for a host whose neighbours all pull at once. */
const RUNNING_EXPORTS = 64;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      config: { type: 'string', default: DEFAULT_CONFIG },
      'check-config': { type: 'boolean' },
      'show-config': { type: 'boolean' },
      help: { type: 'boolean' },
    },
  });
  if (values.help === true) {
    process.stdout.write(USAGE);
    return;
  }
  const config = await loadConfig(values.config);
  if (values['show-config'] === true) process.stdout.write(showConfig(config));
  else if (values['check-config'] === true) process.stdout.write(`${values.config}: ok\n`);
  else await serve(config);
}

async function serve(config: Config): Promise<void> {
  if (config.sandbox.mode === 'require')
    throw new ConfigError(
      'sandbox.mode = "require": this version runs its tools without a sandbox; set "auto" or "off"',
    );
  const log = createLog(config.log.level);
  const runner = new ProcessRunner({
    killGraceMs: config.limits.tool_kill_grace_ms,
    searchPath: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin',
    log: { child: (facts) => log.debug('child', facts) },
  });
  const state = await openStateFolder(config.state_dir, runner);
  const roots = await openRoots(
    config.roots.map(({ path, access, owner, group, mode }) => ({
      path,
      access,
      attributes: rootAttributes(owner, group, mode),
    })),
  );
  const { operations, handlers, metrics } = assemble(config, log, runner, state, roots);
  const server = new HostlerServer({
    listen: config.server.listen,
    loopbackRole: config.server.loopback_role,
    descriptorFile: DESCRIPTORS,
    handlers,
    log: ({ cause, ...facts }) => {
      metrics.call(facts.rpc, facts.code, facts.ms);
      if (cause === undefined) log.info('call', facts);
      else log.error('call', { ...facts, cause: errorText(cause) });
    },
  });
  await server.listen();
  const http = new HttpServer(metrics.registry);
  const addresses = [
    ...server.addresses,
    ...(config.server.http === '' ? [] : [await http.listen(config.server.http)]),
  ];
  http.ready = true;
  stopOnSignal(log, operations, server, http, state, config.server.drain_seconds * 1000);
  log.info('SERVING', { addresses, agent: state.agentId, pid: process.pid });
}

function assemble(config: Config, log: Log, runner: ProcessRunner, state: StateFolder, roots: readonly Root[]) {
  const { limits } = config;
  const [files, tool, imageLocks, locks] = [new LocalFiles(), new QemuImg(runner), new QemuLocks(), new LockTable()];
  const paths = new RootedPaths(roots, [state.realPath]);
  const reader = new ImageReader({ paths, files, tool });
  const slots = new Slots({
    running: { io: limits.running_operations, none: limits.running_short_operations, export: RUNNING_EXPORTS },
    perFilesystem: limits.running_operations_per_filesystem,
    queued: limits.queued_operations,
  });
  const metrics = new Metrics(() => ({ running: slots.running, waiting: slots.waiting, locks: locks.size }));
  const operations = new Operations({
    journal: new MemoryJournal(limits.kept_operations),
    admission: new Admission({ paths, reader, imageLocks }),
    locks,
    slots,
    targets: new FileTargets({ agentId: state.agentId, runner, owners: new Owners(runner), imageLocks }),
    clock: Date.now,
    newId: monotonicFactory(),
    step: () => Promise.resolve(),
    log: {
      finished(record, cause) {
        metrics.operation(record);
        const { id, method, caller, state: end, addresses, error, createTime, endTime = createTime } = record;
        log.info('operation', {
          id,
          method,
          caller,
          state: end,
          addresses,
          reason: error?.reason,
          ms: endTime - createTime,
          ...(cause === undefined ? {} : { cause: errorText(cause) }),
        });
      },
      cleanupFailed: ({ id, method }, cause) => log.error('cleanup failed', { id, method, cause: errorText(cause) }),
    },
  });
  const handlers = {
    image: imageHandlers(operations, { paths, reader, files, tool, imageLocks, reflink: new CpReflink(runner) }),
    operation: operationHandlers(new OperationQueries(operations)),
  };
  return { operations, handlers, metrics };
}

/** SIGTERM: no new operations, running ones get their time, then an orderly end. A second one cancels at once. */
function stopOnSignal(
  log: Log,
  operations: Operations,
  server: HostlerServer,
  http: HttpServer,
  state: StateFolder,
  graceMs: number,
): void {
  let stopping = false;
  const stop = (signal: string) => {
    if (stopping) {
      log.warn('STOPPING at once', { signal });
      operations.cancelAll();
      return;
    }
    stopping = true;
    log.info('STOPPING', { signal, running: operations.live.size });
    server.beginDrain();
    http.ready = false;
    void (async () => {
      await operations.drain(graceMs);
      await server.close();
      await http.close();
      await state.release();
      log.info('STOPPED');
      process.exitCode = 0;
      log.on('finish', () => process.exit());
      log.end();
    })();
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}

function rootAttributes(owner: string | undefined, group: string | undefined, mode: string | undefined) {
  return {
    ...(owner === undefined ? {} : { owner }),
    ...(group === undefined ? {} : { group }),
    ...(mode === undefined ? {} : { mode: Number.parseInt(mode, 8) }),
  };
}

try {
  await main();
} catch (error) {
  const known = error instanceof ConfigError || error instanceof ListenError || error instanceof StateFolderBusy;
  process.stderr.write(`hostlerd: ${known ? error.message : errorText(error)}\n`);
  process.exitCode = 1;
  process.exit();
}
