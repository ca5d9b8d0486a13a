/** Images of a Ceph cluster pass the suite of all storage. */
import { mkdir, readFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { asAddress } from '../../src/domain/model/address.js';
import { targetsOf } from '../../src/adapters/backends.js';
import { DeviceTargets } from '../../src/adapters/devices/device-targets.js';
import { AsideFolder } from '../../src/adapters/files/set-aside.js';
import type { Pool } from '../../src/adapters/qemu/rbd-pool.js';
import { RbdFiles, RbdLocks } from '../../src/adapters/rbd/rbd-files.js';
import { RbdImages } from '../../src/adapters/rbd/rbd-images.js';
import { RbdPaths } from '../../src/adapters/rbd/rbd-paths.js';
import { RbdTargets } from '../../src/adapters/rbd/rbd-targets.js';
import { RbdCopier, RbdTool } from '../../src/adapters/rbd/rbd-tool.js';
import { Rbd } from '../../src/adapters/rbd/rbd.js';
import { storageContract } from '../support/contracts/storage-contract.js';
import { AGENT, SCOPE, contractTools, type Storage } from '../support/contracts/storage.js';
import { scratchFolder, type Scratch } from '../support/scratch.js';
import { cephCluster, type CephCluster } from '../support/servers/ceph.js';

const MIB = 1024 * 1024;

describe('storage: images of a cluster', () => {
  const scratch = scratchFolder();
  const cluster = cephCluster(scratch, 'cephx');
  storageContract(scratch, 'volume', () => volumeStorage(scratch, cluster));
});

/** The pool `rbd` of a cluster, and `fixed`, which may only be read. */
async function volumeStorage(scratch: Scratch, cluster: CephCluster): Promise<Storage> {
  const { runner, qemu } = contractTools();
  await cluster.ceph('osd', 'pool', 'create', 'fixed', '8');
  await cluster.rbd('pool', 'init', 'fixed');
  await cluster.rbd('create', 'fixed/disk', '--size', '1M');
  const pool = (name: string, access: Pool['access']): Pool => ({
    ...{ name, access, trashHours: 0 },
    cluster: {
      ...{ name: 'test', configFile: cluster.configFile, user: 'admin', keyring: cluster.keyring },
      ...{ patienceMs: 60_000, watcherPatienceMs: 60_000, abandonedMs: 60_000 },
    },
  });
  const pools = [pool('rbd', 'read-write'), pool('fixed', 'read-only')];
  const state = scratch.path('state');
  await mkdir(state, { recursive: true });
  const images = new RbdImages(new Rbd(runner, {}));
  const paths = new RbdPaths(pools, images, SCOPE);
  const files = new RbdFiles(images, paths, `.hostler-${AGENT}-`);
  const aside = new AsideFolder(state);
  const volumes = new RbdTargets({
    ...{ agentId: AGENT, pools, images, paths, aside, clock: Date.now },
    log: { swept: () => undefined, failed: () => undefined },
  });
  // Files aside are swept by the adapter of devices, for both.
  const devices = new DeviceTargets({ files, aside });
  const exported = scratch.path('exported');
  let made = 0;
  return {
    kind: 'volume',
    paths,
    files,
    locks: new RbdLocks(images),
    targets: targetsOf({ files: devices, devices, volumes }),
    tool: new RbdTool(images, qemu),
    reflink: new RbdCopier(images),
    fresh: () => Promise.resolve(asAddress(`rbd:rbd/disk-${String(++made)}`)),
    async content(address) {
      await rm(exported, { force: true });
      await cluster.rbd('export', address.slice('rbd:'.length), exported);
      return readFile(exported);
    },
    qemuName: (address) => `${address}:id=admin:conf=${cluster.configFile}:keyring=${cluster.keyring}`,
    async leftovers() {
      const beside = (await readdir(state)).includes('aside') ? await readdir(join(state, 'aside')) : [];
      return [...(await cluster.leftovers()), ...beside];
    },
    bytes: MIB,
    missing: asAddress('rbd:rbd/nothing'),
    outside: { address: asAddress('rbd:elsewhere/disk'), reason: 'POOL_NOT_FOUND' },
    readOnly: asAddress('rbd:fixed/disk'),
    isInPlace: false,
    isReadable: false,
    canClone: true,
  };
}
