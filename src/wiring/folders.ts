/** The part of the composition root that opens the daemon's own folders and its roots. */
import { realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CacheFolder } from '../adapters/files/cache-folder.js';
import type { Config } from '../adapters/config/config.js';
import { errnoOf } from '../adapters/linux/errno.js';
import { whileWaiting } from '../adapters/gates/while-waiting.js';
import { LockQuery } from '../adapters/gates/lock-query.js';
import { errorText, type Log } from '../adapters/telemetry/log.js';
import { AgentLocks } from '../adapters/owned/agent-locks.js';
import { assertOwnPlace } from '../adapters/owned/cache-claim.js';
import { hostIdentity } from '../adapters/owned/host-identity.js';
import { PRIVATE_PREFIX } from '../adapters/paths/private-folders.js';
import type { ProcessRunner } from '../adapters/process/process.js';
import { RememberedMounts } from '../adapters/owned/remembered.js';
import { openRoots, type Root, type RootConfig, type RootEvents } from '../adapters/paths/roots.js';
import { openStateFolder, renewed, type StateFolder } from '../adapters/owned/state-folder.js';
import { isKept } from './sweep.js';
import { isBelow } from '../domain/model/address.js';
import { ownFile } from '../domain/model/own-files.js';
import { makeFolder } from '../file-io/make-folder.js';
import type { CacheIndex } from '../domain/cache/cache-index.js';
import type { Resources } from './resources.js';

/**
 * Opens the state folder and the roots, and takes the lock that shows that this agent is running.
 * If the state folder is a copy of another daemon's, its agent id is replaced by a new one. Fails
 * with ConfigError, OwnFileError, StateFolderBusy, StateFolderBroken.
 */
export async function openFolders(config: Config, runner: ProcessRunner, log: Log) {
  const identity = await hostIdentity();
  const opened = await openStateFolder(config.state_dir, runner, identity);
  const folderSet = await openAllRoots(config, opened.realPath, log);
  const lockQuery = LockQuery.load();
  const agentLocks = new AgentLocks(folderSet.roots, lockQuery);
  const alone = agentLocks.hold(opened.agentId);
  const state = alone ? opened : await renewed(opened, 'another daemon that lives has the same agent id', identity);
  if (!alone) agentLocks.hold(state.agentId);
  if (state.former !== undefined)
    log.warn('this daemon has a new agent id; what the former one began is left alone', {
      agent: state.agentId,
      former: state.former.agentId,
      why: state.former.why,
    });
  const rootMounts = await RememberedMounts.load(state.realPath);
  for (const root of folderSet.roots) {
    const why = rootMounts.absent(root);
    if (why !== undefined) log.warn('the filesystem of a root is not mounted', { root: root.path, why });
  }
  await rootMounts.save(folderSet.roots);
  return { state, folderSet, agentLocks, lockQuery, rootMounts };
}

/** The configured roots of files. Fails with ConfigError. */
export function openFileRoots(config: Config, events?: RootEvents): Promise<Root[]> {
  return openRoots(configuredRoots(config, 'files'), config.limits.root_patience_ms, events);
}

function configuredRoots({ roots }: Config, kind: 'files' | 'devices'): RootConfig[] {
  return roots
    .filter((root) => root.kind === kind)
    .map(({ path, access, trusted, owner, group, mode }) => ({
      path,
      access,
      trusted,
      attributes: rootAttributes(owner, group, mode),
    }));
}

type OpenFolders = Pick<
  Resources,
  'roots' | 'devices' | 'cacheFolder' | 'closedFolders' | 'ownFolders' | 'instancesFolder'
>;

/** Roots of files, and those of devices, whose links may lead to /dev. Fails with ConfigError. */
async function openAllRoots(config: Config, stateFolder: string, log: Log): Promise<OpenFolders> {
  const { root_patience_ms: patienceMs } = config.limits;
  const events: RootEvents = {
    followed: (path, mountPoint) =>
      log.warn('another filesystem is mounted at a root: it is served from there now', { path, mountPoint }),
    waits: (path) => log.warn('the start waits for a folder that does not answer', { path }),
  };
  const devices = await openRoots(configuredRoots(config, 'devices'), patienceMs, events);
  const dev = { path: '/dev', access: 'read-write', trusted: true, attributes: {} } as const;
  const [nodes] = devices.length === 0 ? [] : await openRoots([dev], patienceMs);
  const files = await openFileRoots(config, events);
  const waits = () => {
    events.waits(`${config.cache.path ?? stateFolder}, ${config.instances_path}`);
  };
  const { cacheFolder, around, instancesFolder } = await whileWaiting(patienceMs, waits, () =>
    openCache(config, [...files, ...devices], stateFolder),
  );
  const { dev: device, ino: inode } = await stat(stateFolder, { bigint: true });
  const ownFolders = [{ realPath: stateFolder, identity: { device, inode } }, cacheFolder];
  const own = { roots: [...files], devices: { roots: devices, nodes }, cacheFolder, ownFolders, instancesFolder };
  if (around === undefined) return { ...own, closedFolders: [stateFolder] };
  // A user who may write there could replace the cached files.
  if (!around.trusted) return { ...own, closedFolders: [stateFolder, cacheFolder.realPath] };
  const { attributes } = around;
  const asRoot = { path: cacheFolder.realPath, access: 'read-only', trusted: true, attributes, kept: true } as const;
  return {
    ...own,
    roots: [...files, ...(await openRoots([asRoot], patienceMs, events))],
    closedFolders: [stateFolder],
  };
}

/**
 * The cache's folder. Inside a root it becomes a separate root, in which callers create and remove
 * nothing, and which may hold the bases of images.
 */
async function openCache(
  { cache, instances_path: instances, limits }: Config,
  roots: readonly Root[],
  stateFolder: string,
) {
  const path = cache.path ?? join(stateFolder, 'cache');
  const real = await ownFile('the cache folder (cache.path)', path, async () => {
    await makeFolder(path, 0o711);
    return realpath(path);
  });
  const instancesFolder = await realest(instances);
  assertOwnPlace(real, {
    roots: roots.map(({ realPath }) => realPath),
    stateFolder,
    instances: instancesFolder,
  });
  const [around] = roots
    .filter(({ realPath }) => isBelow(real, realPath))
    .sort((a, b) => b.realPath.length - a.realPath.length);
  const attributes = around?.trusted === true ? around.attributes : {};
  const cacheFolder = await ownFile('the cache folder (cache.path)', real, () =>
    CacheFolder.open(real, attributes, limits.root_patience_ms),
  );
  return { cacheFolder, around, instancesFolder };
}

/** The real path if it exists; otherwise the path itself. */
function realest(path: string): Promise<string> {
  return realpath(path).catch((error: unknown) => {
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes(errnoOf(error) ?? '')) return path;
    throw error;
  });
}

interface CacheNeeds {
  readonly cache: CacheIndex;
  readonly state: StateFolder;
  readonly runner: ProcessRunner;
}

/** Claims the folder for this daemon. Fails with ConfigError. */
export async function claimCacheFolder(folder: CacheFolder, { cache, state, runner }: CacheNeeds): Promise<void> {
  const { machine, name } = await hostIdentity();
  const owner = { agent: state.agentId, machine, host: name, state: state.realPath };
  await folder.claim({ owner, formerAgents: state.formerIds, runner, isEntry: (id) => cache.knows(id) });
}

/**
 * Before any work in the cache: removes folders of operations that ended with an earlier start, and
 * reports unknown ones. A folder that cannot be read does not prevent the start: then nothing is
 * removed.
 */
export async function sweepCache(resources: Resources): Promise<void> {
  const { cacheFolder, log } = resources;
  try {
    await sweepCacheNow(resources);
  } catch (error) {
    const cause = errorText(error);
    log.error('the cache folder cannot be swept now: what is there stays', { folder: cacheFolder.realPath, cause });
  }
}

async function sweepCacheNow(resources: Resources): Promise<void> {
  const { cache, cacheFolder, log, state } = resources;
  if (!resources.journalMovedAside && !state.isNew) {
    const prefix = `${PRIVATE_PREFIX}${state.agentId}-`;
    const removed = await cacheFolder.sweep(prefix, (id) => isKept(resources, id));
    if (removed.length > 0) log.warn('swept', { removed });
  }
  const unknown = await cacheFolder.unknown((id) => cache.knows(id));
  if (unknown.length === 0) return;
  const bytes = unknown.reduce((sum, { allocatedBytes }) => sum + allocatedBytes, 0n);
  log.warn('files without an entry are left in the cache: see `hostler cache ls --unknown`', {
    folder: cacheFolder.realPath,
    count: unknown.length,
    bytes: String(bytes),
    such_as: unknown.slice(0, 5).map(({ name }) => name),
  });
}

function rootAttributes(owner: string | undefined, group: string | undefined, mode: string | undefined) {
  return {
    ...(owner === undefined ? {} : { owner }),
    ...(group === undefined ? {} : { group }),
    ...(mode === undefined ? {} : { mode: Number.parseInt(mode, 8) }),
  };
}
