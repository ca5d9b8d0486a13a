/** Files, and block devices on loop devices, as kinds of storage. */
import { mkdir, readFile, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { asAddress } from '../../../src/domain/model/address.js';
import { DeviceFiles, DeviceLocks } from '../../../src/adapters/devices/device-files.js';
import { DevicePaths } from '../../../src/adapters/devices/device-paths.js';
import { DeviceTargets } from '../../../src/adapters/devices/device-targets.js';
import { DeviceTool } from '../../../src/adapters/devices/device-tool.js';
import { CpReflink } from '../../../src/adapters/files/cp-reflink.js';
import { FileTargets } from '../../../src/adapters/files/file-targets.js';
import { LocalFiles } from '../../../src/adapters/files/files.js';
import { FolderSync } from '../../../src/adapters/files/folder-sync.js';
import { Owners } from '../../../src/adapters/files/owners.js';
import { AsideFolder } from '../../../src/adapters/files/set-aside.js';
import { RootedPaths } from '../../../src/adapters/paths/paths.js';
import { openRoots, type Root } from '../../../src/adapters/paths/roots.js';
import { QemuLocks } from '../../../src/adapters/qemu/qemu-locks.js';
import { NO_SWEEP_LOG } from '../engine.js';
import { leftovers, namesBelow } from '../files/names-below.js';
import { noise } from '../images/disks.js';
import { installed, isRoot, needs } from '../needs.js';
import type { Scratch } from '../scratch.js';
import { sh, tryRun } from '../shell.js';
import { AGENT, SCOPE, contractTools, type Storage } from './storage.js';

const MIB = 1024 * 1024;
const PATIENCE_MS = 5000;

/** Roots `images`, and `fixed` that may only be read, in a folder. */
async function rootsIn(scratch: Scratch, folder: string): Promise<Root[]> {
  const root = (name: string, access: 'read-write' | 'read-only') => ({
    ...{ path: join(folder, name), access, trusted: true, attributes: {} },
  });
  const configs = [root('images', 'read-write'), root('fixed', 'read-only')];
  for (const { path } of configs) await mkdir(path, { recursive: true });
  return closedAtEnd(scratch, await openRoots(configs, PATIENCE_MS));
}

function closedAtEnd(scratch: Scratch, roots: Root[]): Root[] {
  scratch.onEnd(() => Promise.all(roots.map(({ handle }) => handle.close())));
  return roots;
}

/** Files in `folder`, which may be a filesystem of its own that shares extents. */
export async function fileStorage(scratch: Scratch, folder: string, canClone = false): Promise<Storage> {
  const { runner, qemu } = contractTools();
  const roots = await rootsIn(scratch, folder);
  const [folderSync, locks] = [new FolderSync(), new QemuLocks()];
  const at = (...names: string[]) => asAddress(join(folder, ...names));
  await writeFile(at('fixed/disk'), noise(MIB));
  let made = 0;
  return {
    kind: 'file',
    paths: new RootedPaths(roots, { closed: [], own: [] }, SCOPE),
    files: new LocalFiles(folderSync),
    locks,
    targets: new FileTargets({
      ...{ agentId: AGENT, roots, runner, owners: new Owners(runner), imageLocks: locks, folderSync },
      sweepLog: NO_SWEEP_LOG,
    }),
    tool: qemu,
    reflink: new CpReflink(runner),
    fresh: () => Promise.resolve(at(`images/disk-${String(++made)}`)),
    content: (address) => readFile(address),
    qemuName: (address) => address,
    leftovers: () => leftovers(folder),
    bytes: MIB,
    missing: at('images/nothing'),
    outside: { address: at('elsewhere'), reason: 'PATH_OUTSIDE_ROOTS' },
    readOnly: at('fixed/disk'),
    isInPlace: false,
    isReadable: true,
    attributes: { mode: 0o640 },
    canClone,
  };
}

/** Loop devices behind links in `folder`, as LVM makes them. Skips where there are none. */
export async function deviceStorage(context: Mocha.Context, scratch: Scratch, folder: string): Promise<Storage> {
  needs(context, isRoot && installed('losetup'), 'loop devices need root');
  needs(context, (await tryRun('losetup', ['--find'])).code === 0, 'there are no loop devices here');
  const { qemu } = contractTools();
  const roots = await rootsIn(scratch, folder);
  const dev = { path: '/dev', access: 'read-write', trusted: true, attributes: {} } as const;
  const [nodes] = closedAtEnd(scratch, await openRoots([dev], PATIENCE_MS));
  const at = (...names: string[]) => asAddress(join(folder, ...names));
  const state = join(folder, 'state');
  await mkdir(state);
  const links = ['images/one', 'images/two', 'fixed/disk'].map((name) => at(name));
  for (const [index, link] of links.entries()) {
    const back = join(folder, `back-${String(index)}`);
    await writeFile(back, noise(MIB, index));
    const node = (await sh('losetup', '--find', '--show', back)).trim();
    scratch.onEnd(() => sh('losetup', '--detach', node));
    await symlink(node, link);
  }
  const elsewhere = new RootedPaths(roots, { closed: [], own: [] }, SCOPE);
  const files = new DeviceFiles(new LocalFiles());
  let given = 0;
  return {
    kind: 'device',
    paths: new DevicePaths(roots, nodes, elsewhere, SCOPE),
    files,
    locks: new DeviceLocks(new QemuLocks()),
    targets: new DeviceTargets({ files, aside: new AsideFolder(state) }),
    tool: new DeviceTool(qemu),
    reflink: {
      describe: () => ({ shown: '', why: '' }),
      objection: () => Promise.resolve('a block device shares nothing'),
      clone: () => Promise.resolve({ refused: 'a block device shares nothing' }),
    },
    async fresh() {
      const link = at('images', given++ % 2 === 0 ? 'one' : 'two');
      await writeFile(link, noise(MIB, 100 + given));
      return link;
    },
    content: (address) => readFile(address),
    qemuName: (address) => address,
    leftovers: async () => ((await readdir(state)).includes('aside') ? namesBelow(join(state, 'aside')) : []),
    bytes: MIB,
    missing: at('images/nothing'),
    outside: { address: at('elsewhere'), reason: 'PATH_OUTSIDE_ROOTS' },
    readOnly: at('fixed/disk'),
    isInPlace: true,
    isReadable: true,
    canClone: false,
  };
}
