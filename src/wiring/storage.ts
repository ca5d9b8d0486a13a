/** The storage of images: the adapters of files and of Ceph clusters, behind one port each. */
import {
  changerOf,
  dependantsOf,
  eraserOf,
  filesOf,
  hasherOf,
  locksOf,
  pathsOf,
  reflinkOf,
  targetsOf,
  toolOf,
} from '../adapters/backends.js';
import { ThreadedHasher } from '../adapters/files/block-hasher.js';
import { TableWalk } from '../adapters/qemu/table-walk.js';
import { ConfigError, type Config } from '../adapters/config/config.js';
import { CpReflink } from '../adapters/files/cp-reflink.js';
import { DeviceFiles, DeviceLocks } from '../adapters/devices/device-files.js';
import { DevicePaths } from '../adapters/devices/device-paths.js';
import { DeviceTargets } from '../adapters/devices/device-targets.js';
import { DeviceEraser, DeviceChanger, DeviceTool } from '../adapters/devices/device-tool.js';
import { FileEraser } from '../adapters/files/file-eraser.js';
import { FileTargets } from '../adapters/files/file-targets.js';
import { LocalFiles } from '../adapters/files/files.js';
import { errorText, type Log } from '../adapters/telemetry/log.js';
import { FolderSync } from '../adapters/files/folder-sync.js';
import type { Owners } from '../adapters/files/owners.js';
import { RootedPaths } from '../adapters/paths/paths.js';
import { PRIVATE_PREFIX } from '../adapters/paths/private-folders.js';
import { LocalTrees } from '../adapters/folders/local-trees.js';
import { FileTool } from '../adapters/qemu/file-tool.js';
import { QemuChanger } from '../adapters/qemu/qemu-changer.js';
import { QemuImg } from '../adapters/qemu/qemu-img.js';
import { QemuLocks } from '../adapters/qemu/qemu-locks.js';
import { AsideFolder } from '../adapters/files/set-aside.js';
import { poolNumber, type Pool } from '../adapters/qemu/rbd-pool.js';
import { RbdBases } from '../adapters/rbd/rbd-bases.js';
import { RbdChanger } from '../adapters/rbd/rbd-changer.js';
import { RbdDependants, RbdFiles, RbdLocks } from '../adapters/rbd/rbd-files.js';
import { RbdHasher } from '../adapters/rbd/rbd-hasher.js';
import { RbdImages } from '../adapters/rbd/rbd-images.js';
import { RbdLists } from '../adapters/rbd/rbd-lists.js';
import { RbdPaths } from '../adapters/rbd/rbd-paths.js';
import { RbdTargets, type RbdTargetOptions } from '../adapters/rbd/rbd-targets.js';
import { RbdCopier, RbdEraser, RbdTool } from '../adapters/rbd/rbd-tool.js';
import { Rbd } from '../adapters/rbd/rbd.js';
import type { ToolLimits } from '../adapters/process/tool-call.js';
import type { PathScope } from '../domain/access/path-scope.js';
import type { Dependants } from '../domain/ports/changes.js';
import type { Resources } from './resources.js';
import type { SweepLog } from '../adapters/files/staged-file.js';

interface StorageNeeds {
  readonly limits: ToolLimits;
  readonly foreignLimits: ToolLimits;
  readonly owners: Owners;
  readonly index: Dependants;
  readonly scope: PathScope;
  readonly sweepLog: SweepLog;
}

/** The ports through which verbs access images, in any storage. */
export function assembleStorage(
  { config, log, runner, state, roots, closedFolders, ownFolders, devices, cacheFolder, lockQuery }: Resources,
  { limits, foreignLimits, owners, index, scope, sweepLog }: StorageNeeds,
) {
  const pools = poolsOf(config);
  const images = new RbdImages(new Rbd(runner, limits));
  const [local, locks] = [
    new RootedPaths(roots, { closed: closedFolders, own: ownFolders }, scope),
    new QemuLocks(lockQuery),
  ];
  const folderSync = new FolderSync((why) => log.warn('a filesystem does not sync folders', { why }));
  const [localFiles, aside] = [new LocalFiles(folderSync), new AsideFolder(state.realPath)];
  const deviceFiles = new DeviceFiles(localFiles);
  const remote = new RbdPaths(pools, images, scope);
  const mark = `${PRIVATE_PREFIX}${state.agentId}-`;
  const volumes = new RbdFiles(images, remote, mark);
  const bases = new RbdBases(images, remote, { pools: basePools(config, pools), clock: Date.now, mark });
  const qemu = new QemuImg(runner, limits, foreignLimits);
  const [hasher, fileTool] = [new ThreadedHasher(), new FileTool(qemu)];
  const [changer, eraser] = [new QemuChanger(runner, limits), new FileEraser(runner)];
  return {
    trees: new LocalTrees({ ...state, closedFolders, owners, imageLocks: locks, folderSync }),
    localPaths: local,
    aside,
    bases,
    paths: pathsOf({
      files: local,
      devices: new DevicePaths(devices.roots, devices.nodes, local, scope),
      volumes: remote,
      cache: cacheFolder,
      bases,
    }),
    files: filesOf({ files: localFiles, devices: deviceFiles, volumes }),
    imageLocks: locksOf({ files: locks, devices: new DeviceLocks(locks), volumes: new RbdLocks(images) }),
    dependants: dependantsOf({ files: index, devices: index, volumes: new RbdDependants(images) }),
    targets: targetsOf({
      files: new FileTargets({ ...state, roots, runner, owners, imageLocks: locks, folderSync, sweepLog }),
      devices: new DeviceTargets({ files: deviceFiles, aside }),
      volumes: new RbdTargets({
        agentId: state.agentId,
        pools,
        images,
        paths: remote,
        aside,
        clock: Date.now,
        log: volumeLog(log),
      }),
    }),
    tool: toolOf({ reader: qemu, files: fileTool, devices: new DeviceTool(qemu), volumes: new RbdTool(images, qemu) }),
    changer: changerOf({ files: changer, devices: new DeviceChanger(runner, limits), volumes: new RbdChanger(images) }),
    comparer: changer,
    eraser: eraserOf({ files: eraser, devices: new DeviceEraser(runner, eraser), volumes: new RbdEraser(qemu) }),
    wholeness: new TableWalk(foreignLimits),
    hasher: hasherOf({ files: hasher, devices: hasher, volumes: new RbdHasher(images.rbd) }),
    reflink: reflinkOf({ files: new CpReflink(runner), volumes: new RbdCopier(images) }),
    pools: hostPools(config, pools, { volumes, remote, scope }),
    poolLists: new RbdLists(images.rbd, remote, pools, scope, () => performance.now()),
    poolKey: poolKeys(pools),
  };
}

function volumeLog(log: Log): RbdTargetOptions['log'] {
  return {
    swept: (removed) => log.warn('swept', { removed }),
    failed: (what, cause) => log.warn('cannot be cleaned now', { what, cause: errorText(cause) }),
  };
}

/** The key of a pool's space in reservations. */
function poolKeys(pools: readonly Pool[]): (name: string) => string {
  const keys = new Map(pools.map((pool) => [pool.name, String(poolNumber(pool))]));
  return (name) => keys.get(name) ?? '';
}

/** The facts of pools that callers may see. */
function hostPools(
  { cache }: Config,
  pools: readonly Pool[],
  { volumes, remote, scope }: { readonly volumes: RbdFiles; readonly remote: RbdPaths; readonly scope: PathScope },
) {
  return {
    space: async (name: string) => volumes.space(remote.open(name, name)),
    reached: () =>
      pools
        .filter(({ name, roles }) => scope.isNamed(roles) && scope.touches(`rbd:${name}`))
        .map(({ name, cluster, access }) => ({
          name,
          cluster: cluster.name,
          writable: access === 'read-write',
          keepsBases: cache.pools.includes(name),
        })),
  };
}

/** The pools that keep bases. */
function basePools({ cache }: Config, pools: readonly Pool[]): Pool[] {
  return cache.pools.map((name) => {
    const found = pools.find((pool) => pool.name === name);
    if (found?.access !== 'read-write')
      throw new ConfigError(`cache.pools: ${name} is not one of [[pools]] that may be written`);
    return found;
  });
}

function poolsOf({ pools, clusters }: Config): Pool[] {
  return pools.map(({ name, cluster, access, roles, trash_hours: trashHours }) => {
    const found = clusters.find((each) => each.name === cluster);
    if (found === undefined)
      throw new ConfigError(`pools: ${name} is in the cluster ${cluster}, which is not configured`);
    return {
      name,
      access,
      ...(roles === undefined ? {} : { roles }),
      trashHours,
      cluster: {
        name: cluster,
        configFile: found.config_file,
        user: found.user,
        ...(found.keyring === undefined ? {} : { keyring: found.keyring }),
        patienceMs: found.patience_seconds * 1000,
        watcherPatienceMs: found.watcher_patience_seconds * 1000,
        abandonedMs: found.abandoned_seconds * 1000,
      },
    };
  });
}
