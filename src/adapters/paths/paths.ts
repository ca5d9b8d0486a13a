import type { BigIntStats } from 'node:fs';
import { asAddress, dirname, isBelow, type ImageAddress } from '../../domain/model/address.js';
import type { PathScope } from '../../domain/access/path-scope.js';
import { HostlerError } from '../../domain/model/errors.js';
import { errnoOf, systemError } from '../linux/errno.js';
import { RootedHandle, statOrClose } from '../gates/handles.js';
import { FolderShelf } from './folder-shelf.js';
import { PathWalk, type ReservedFolders, type Leaf } from './path-walk.js';
import { PRIVATE_PREFIX } from './private-folders.js';
import { findRoot, type Root } from './roots.js';
import { birthOf, sizesOf } from '../linux/system-sizes.js';
import type { Entry, FileKind, Resolved } from '../../domain/ports/handles.js';
import type { ExistingTarget, ResolvedTarget } from '../../domain/ports/targets.js';
import type { EntryNeed, Paths, SharedFolders } from '../../domain/ports/paths.js';

const PERMISSION_BITS = 0o7777n;

/**
 * `Paths` for files below the roots. Links are followed inside a root only, and the caller's role
 * is checked against the real path.
 */
export class RootedPaths implements Paths {
  /** @param reserved folders that no address may reach, such as the daemon's own state */
  constructor(
    private readonly roots: readonly Root[],
    private readonly reserved: ReservedFolders,
    private readonly scope: PathScope,
  ) {}

  async source(address: ImageAddress, _reading?: 'unread', folders?: SharedFolders): Promise<Resolved> {
    return this.#open(address, address, folders);
  }

  async named(name: string, from: Resolved, folders?: SharedFolders): Promise<Resolved> {
    const path = name.startsWith('/') ? name : `${dirname(from.storedName)}/${name}`;
    return this.#open(path, asAddress(path), folders);
  }

  async entry(address: ImageAddress, need: EntryNeed): Promise<Entry> {
    const { root } = this.#find(address);
    return root.gate.enter(
      () => this.#openEntry(address, root, need),
      ({ handle }) => handle.close(),
    );
  }

  async #openEntry(address: ImageAddress, root: Root, { follow, access }: EntryNeed): Promise<Entry> {
    try {
      const { handle, stat, realPath } = await this.#openAnything(address, root, follow);
      try {
        this.scope.assert({ address: realPath, need: access === 'look' ? 'read' : 'write' }, address);
        if (access !== 'look') this.#assertWritable(realPath, root, address, access === 'change tree');
        return { ...entryOf(handle, stat, address), realPath };
      } catch (error) {
        await handle.close();
        throw error;
      }
    } catch (error) {
      // A circle of links leads to no file, whatever it was meant to lead to.
      if (isCircle(error)) throw new HostlerError('FILE_NOT_FOUND', error.message, { facts: error.facts });
      throw systemError(error, address, {
        ENOENT: 'FILE_NOT_FOUND',
        ENOTDIR: 'FILE_NOT_FOUND',
        ENAMETOOLONG: 'FILE_NOT_FOUND',
      });
    }
  }

  async #openAnything(address: ImageAddress, root: Root, follow: boolean): Promise<Omit<Leaf, 'root'>> {
    if (this.#find(address).components.length > 0) return this.#walked(address, (walk) => walk.leaf(follow));
    const handle = await RootedHandle.folder(root.handle, '.', root.gate);
    return { handle, stat: await statOrClose(handle), realPath: root.realPath };
  }

  /**
   * A link may have led into a root inside this root, and a tree may contain one. Walks of trees
   * leave out closed folders.
   */
  #assertWritable(realPath: string, root: Root, address: ImageAddress, tree: boolean): void {
    const policy = findRoot(this.roots, realPath)?.root ?? root;
    const isClosed = (path: string) => this.reserved.closed.some((closed) => isBelow(path, closed));
    const below = tree
      ? this.roots.filter((other) => isBelow(other.realPath, realPath) && !isClosed(other.realPath))
      : [];
    if ([policy, ...below].some(({ access }) => access === 'read-only'))
      throw new HostlerError('ROOT_READ_ONLY', `${address} lies in a read-only root`, { facts: { path: address } });
  }

  async target(address: ImageAddress): Promise<ResolvedTarget> {
    return this.#find(address).root.gate.enter(
      () => this.#openTarget(address),
      ({ directory }) => directory.close(),
    );
  }

  async place(address: ImageAddress, need: 'name' | 'tree'): Promise<ResolvedTarget> {
    const { root, components } = this.#find(address);
    if (components.length === 0 && need === 'tree') throw reserved(address, 'is a root');
    return root.gate.enter(
      () => this.#openTarget(address, need),
      ({ directory }) => directory.close(),
    );
  }

  /** The folder contains no root, and no folder of the daemon. */
  #assertNotReserved(realPath: string, address: ImageAddress): void {
    const kept = [...this.roots.map((root) => root.realPath), ...this.reserved.closed];
    if (kept.some((folder) => isBelow(folder, realPath)))
      throw reserved(address, 'holds a root, or a folder that the daemon keeps for itself');
  }

  async assertNameable(address: ImageAddress): Promise<void> {
    const { root, components } = this.#find(address);
    // For a missing path, the existing folders are walked; the rest is judged by its text.
    if (root.kept === true || components.some((name) => name.startsWith(PRIVATE_PREFIX)))
      throw new HostlerError('PATH_OUTSIDE_ROOTS', `${address} lies in a folder that the daemon keeps for itself`, {
        facts: { path: address },
      });
    const realPath = await root.gate.enter(
      () => this.#realPath(address, root, components),
      () => Promise.resolve(),
    );
    if (realPath !== undefined) this.scope.assert({ address: realPath, need: 'read' }, address);
  }

  /**
   * The real path of an address that passes no folder of the daemon; undefined: it does not exist.
   */
  async #realPath(address: ImageAddress, root: Root, components: readonly string[]): Promise<string | undefined> {
    const kept = this.roots.flatMap((each) => (each.kept === true ? [each.realPath] : []));
    const walk = new PathWalk(
      root,
      components,
      { ...this.reserved, closed: [...this.reserved.closed, ...kept] },
      address,
    );
    try {
      const { handle, realPath } = await walk.leaf(true);
      await handle.close();
      return realPath;
    } catch (error) {
      this.#assertInSight(walk, address);
      if (isCircle(error) || ['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return undefined;
      throw systemError(error, address);
    }
  }

  async #openTarget(address: ImageAddress, need: 'name' | 'tree' = 'name'): Promise<ResolvedTarget> {
    const place = await this.#walked(address, (walk) => walk.place()).catch((error: unknown) => {
      if (isCircle(error)) throw new HostlerError('PARENT_NOT_FOUND', error.message, { facts: error.facts });
      throw systemError(error, address, { ENOENT: 'PARENT_NOT_FOUND', ENOTDIR: 'PARENT_NOT_FOUND' });
    });
    try {
      const { folder, name, root } = place;
      this.scope.assert({ address: place.realPath, need: 'write' }, address);
      if (need === 'tree') this.#assertNotReserved(place.realPath, address);
      this.#assertWritable(place.realPath, root, address, false);
      const policy = findRoot(this.roots, place.realPath)?.root ?? root;
      const { dev, ino } = await root.gate.calls.stat(folder.fd);
      const existing = await lookAt(folder, name, address);
      return {
        storage: 'file',
        address,
        storedName: address,
        realPath: place.realPath,
        directory: folder,
        directoryIdentity: { device: dev, inode: ino },
        name,
        defaults: policy.attributes,
        trusted: policy.trusted,
        ...(existing === undefined ? {} : { existing }),
      };
    } catch (error) {
      await place.folder.close();
      throw systemError(error, address);
    }
  }

  async #open(path: string, address: ImageAddress, folders?: SharedFolders): Promise<Resolved> {
    const shelf = folders instanceof FolderShelf ? folders : undefined;
    return this.#find(path).root.gate.enter(
      () => this.#openSource(path, address, shelf),
      ({ handle }) => handle.close(),
    );
  }

  async #openSource(path: string, address: ImageAddress, shelf?: FolderShelf): Promise<Resolved> {
    try {
      const { handle, stat, root, realPath } = await this.#walked(path, (walk) => walk.leaf(true), shelf);
      try {
        this.scope.assert({ address: realPath, need: 'read' }, path);
        if (!stat.isFile()) throw new HostlerError('NOT_A_FILE', `${path} is not a regular file`, { facts: { path } });
        const { access, trusted } = findRoot(this.roots, realPath)?.root ?? root;
        const writable = access === 'read-write' && this.scope.allows({ address: realPath, need: 'write' });
        return { ...resolved(handle, stat, path, address), realPath, writable, trusted };
      } catch (error) {
        await handle.close();
        throw error;
      }
    } catch (error) {
      throw systemError(error, path);
    }
  }

  async #walked<T>(path: string, walked: (walk: PathWalk) => Promise<T>, shelf?: FolderShelf): Promise<T> {
    const { root, components } = this.#find(path);
    const walk = new PathWalk(
      root,
      components,
      root.kept === true ? { ...this.reserved, closed: [] } : this.reserved,
      path,
      shelf,
    );
    try {
      return await walked(walk);
    } catch (error) {
      this.#assertInSight(walk, path);
      throw error;
    }
  }

  /** Errors outside of the caller's places are replaced: they would reveal what exists there. */
  #assertInSight({ at }: PathWalk, path: string): void {
    if (!this.scope.touches(at)) this.scope.assert({ address: at, need: 'read' }, path);
  }

  #find(path: string): { readonly root: Root; readonly components: readonly string[] } {
    const found = findRoot(this.roots, path);
    if (found !== undefined) return found;
    throw new HostlerError('PATH_OUTSIDE_ROOTS', `${path} lies outside the configured roots`, { facts: { path } });
  }
}

/** Whether the error of a walk reports links that lead to each other. */
function isCircle(error: unknown): error is HostlerError {
  return error instanceof HostlerError && error.reason === 'IMAGE_NOT_FOUND';
}

function reserved(address: ImageAddress, why: string): HostlerError {
  return new HostlerError('DIRECTORY_RESERVED', `${address} ${why}`, { facts: { path: address } });
}

function resolved(
  handle: RootedHandle,
  stat: BigIntStats,
  path: string,
  address: ImageAddress,
): Omit<Resolved, 'writable' | 'trusted'> {
  return {
    storage: 'file',
    address,
    storedName: path,
    handle,
    device: stat.dev,
    inode: stat.ino,
    ...sizesOf(stat),
    modifyTimeNs: stat.mtimeNs,
    ...(handle.gate.isLocal ? { changeTimeNs: stat.ctimeNs } : {}),
    ...birthOf(stat),
  };
}

function entryOf(handle: RootedHandle, stat: BigIntStats, address: ImageAddress): Entry {
  return {
    address,
    handle,
    kind: kindOf(stat),
    device: stat.dev,
    inode: stat.ino,
    ...sizesOf(stat),
    modifyTimeNs: stat.mtimeNs,
    mode: Number(stat.mode & PERMISSION_BITS),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    inTime: (work, dispose = () => Promise.resolve()) => handle.gate.enter(work, dispose),
  };
}

function kindOf(stat: BigIntStats): FileKind {
  if (stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'folder';
  if (stat.isSymbolicLink()) return 'link';
  return stat.isBlockDevice() ? 'block' : 'other';
}

async function lookAt(folder: RootedHandle, name: string, address: ImageAddress): Promise<ExistingTarget | undefined> {
  const handle = await openExisting(folder, name, address);
  if (handle === undefined) return undefined;
  try {
    const stat = await handle.gate.calls.stat(handle.fd);
    const { dev: device, ino: inode } = stat;
    return { type: kindOf(stat), device, inode, allocatedBytes: sizesOf(stat).allocatedBytes, ...birthOf(stat) };
  } finally {
    await handle.close();
  }
}

async function openExisting(
  folder: RootedHandle,
  name: string,
  address: ImageAddress,
): Promise<RootedHandle | undefined> {
  try {
    return await RootedHandle.leaf(folder, name, folder.gate);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw systemError(error, address);
  }
}
