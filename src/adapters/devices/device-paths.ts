import { posix } from 'node:path';
import type { PathScope } from '../../domain/access/path-scope.js';
import { asAddress, isBelow, type ImageAddress } from '../../domain/model/address.js';
import { HostlerError, unsupported } from '../../domain/model/errors.js';
import { errnoOf, systemError } from '../linux/errno.js';
import { RootedHandle, statOrClose } from '../gates/handles.js';
import { lengthOf } from '../linux/lengths.js';
import { NOTHING_KEPT, PathWalk } from '../paths/path-walk.js';
import { findRoot, type Root } from '../paths/roots.js';
import { DeviceHandle } from '../linux/device-handle.js';
import { DEVICES } from '../linux/device-identity.js';
import { procPath } from '../linux/proc-path.js';
import type { Entry, Resolved } from '../../domain/ports/handles.js';
import type { ResolvedTarget } from '../../domain/ports/targets.js';
import type { EntryNeed, Paths } from '../../domain/ports/paths.js';

/**
 * Resolves addresses in roots of devices: a node, or a link to one below /dev, as LVM creates them.
 */
export class DevicePaths implements Paths {
  /**
   * @param nodes /dev, where the last link of an address may lead
   * @param elsewhere resolves entries for FileService, which handles names, not disks
   */
  constructor(
    private readonly roots: readonly Root[],
    private readonly nodes: Root | undefined,
    private readonly elsewhere: Pick<Paths, 'entry'>,
    private readonly scope: PathScope,
  ) {}

  /** Whether an address belongs to a root of devices. */
  has(address: ImageAddress): boolean {
    return this.roots.some(({ path, realPath }) => isBelow(address, path) || isBelow(address, realPath));
  }

  async source(address: ImageAddress): Promise<Resolved> {
    this.scope.assert({ address, need: 'read' });
    const { device, root, ...rest } = await this.#open(address);
    return {
      storage: 'device',
      address,
      storedName: address,
      handle: device,
      device: DEVICES,
      ...rest,
      lengthBytes: device.bytes,
      allocatedBytes: device.bytes,
      writable: root.access === 'read-write' && this.scope.allows({ address, need: 'write' }),
      trusted: root.trusted,
    };
  }

  named(name: string, from: Resolved): Promise<Resolved> {
    const path = name.startsWith('/') ? name : posix.resolve(posix.dirname(from.storedName), name);
    return this.source(asAddress(path));
  }

  entry(address: ImageAddress, need: EntryNeed): Promise<Entry> {
    return this.elsewhere.entry(address, need);
  }

  place(address: ImageAddress): Promise<ResolvedTarget> {
    return Promise.reject(
      unsupported(`${address} lies in a root of devices, which holds no folders`, { path: address }),
    );
  }

  /** A device exists already, so its address needs no check as a new name. */
  async assertNameable(address: ImageAddress): Promise<void> {
    await (await this.source(address)).handle.close();
  }

  /** A device exists already and is written in place. */
  async target(address: ImageAddress): Promise<ResolvedTarget> {
    this.scope.assert({ address, need: 'write' });
    const { device, root, inode } = await this.#open(address);
    const identity = { device: DEVICES, inode };
    if (root.access === 'read-only') {
      await device.close();
      throw new HostlerError('ROOT_READ_ONLY', `${address} lies in a read-only root`, { facts: { path: address } });
    }
    return {
      storage: 'device',
      address,
      storedName: address,
      directory: device,
      directoryIdentity: identity,
      name: posix.basename(address),
      defaults: {},
      trusted: root.trusted,
      existing: { type: 'device', ...identity, allocatedBytes: device.bytes },
    };
  }

  async #open(address: ImageAddress) {
    const found = findRoot(this.roots, address);
    if (found === undefined) throw outside(address);
    const { root, components } = found;
    return root.gate.enter(
      async () => {
        const { handle, stat, path } = await this.#node(root, components, address).catch((error: unknown) => {
          throw systemError(error, address);
        });
        try {
          if (!stat.isBlockDevice())
            throw new HostlerError('NOT_A_FILE', `${address} is no block device`, { facts: { path: address } });
          const device = new DeviceHandle(handle, path, await lengthOf(stat));
          return { device, root, inode: stat.rdev, modifyTimeNs: stat.mtimeNs };
        } catch (error) {
          await handle.close();
          throw systemError(error, address);
        }
      },
      ({ device }) => device.close(),
    );
  }

  async #node(root: Root, components: readonly string[], address: ImageAddress) {
    const { folder, name, realPath } = await new PathWalk(root, components, NOTHING_KEPT, address).place();
    try {
      const target = await linkTarget(folder, name);
      if (target === undefined) {
        const handle = await RootedHandle.leaf(folder, name, root.gate);
        return { handle, stat: await statOrClose(handle), path: realPath };
      }
      return await this.#below(posix.resolve(posix.dirname(realPath), target), address);
    } finally {
      await folder.close();
    }
  }

  /** Follows the last link of an address: from there on, links must stay below /dev too. */
  async #below(path: string, address: ImageAddress) {
    const { nodes } = this;
    if (nodes === undefined || !isBelow(path, nodes.realPath)) throw outside(address);
    const components = path.slice(nodes.realPath.length + 1).split('/');
    const { handle, stat, realPath } = await new PathWalk(nodes, components, NOTHING_KEPT, address).leaf(true);
    return { handle, stat, path: realPath };
  }
}

/** Undefined if the name is not a link. */
async function linkTarget(folder: RootedHandle, name: string): Promise<string | undefined> {
  try {
    return await folder.gate.calls.readlink(procPath({ handle: folder, name }));
  } catch (error) {
    if (errnoOf(error) === 'EINVAL') return undefined;
    throw error;
  }
}

function outside(path: string): HostlerError {
  return new HostlerError('PATH_OUTSIDE_ROOTS', `${path} leads out of its root, and not to a device below /dev`, {
    facts: { path },
  });
}
