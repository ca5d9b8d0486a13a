import type { FileHandle } from 'node:fs/promises';
import { asAddress, dirname, type ImageAddress } from '../domain/address.js';
import { HostlerError } from '../domain/errors.js';
import type { ExistingTarget, Handle, Paths, Resolved, ResolvedTarget } from '../domain/ports.js';
import { errnoOf, systemError } from './errno.js';
import { openFolder, openLeaf } from './handles.js';
import { PathWalk, type Place } from './path-walk.js';
import { findRoot, type Root } from './roots.js';

/** What stat's st_blocks counts in. */
const BLOCK_BYTES = 512n;

export class RootedPaths implements Paths {
  /** @param closedFolders real paths of folders that no address may reach, such as the daemon's own state */
  constructor(
    private readonly roots: readonly Root[],
    private readonly closedFolders: readonly string[],
  ) {}

  async source(address: ImageAddress): Promise<Resolved> {
    return this.#open(address, address);
  }

  async named(name: string, from: Resolved): Promise<Resolved> {
    const path = name.startsWith('/') ? name : `${dirname(from.storedName)}/${name}`;
    return this.#open(path, asAddress(path));
  }

  /** A file or folder, whatever it is; its handle is the caller's. Fails with FILE_NOT_FOUND, and as `source`. */
  async anything(address: ImageAddress): Promise<Handle> {
    const { root, components } = this.#find(address);
    return root.gate.enter(
      () => this.#openAnything(address, root, components.length === 0),
      (handle) => handle.close(),
    );
  }

  async #openAnything(address: ImageAddress, root: Root, isRoot: boolean): Promise<Handle> {
    try {
      if (isRoot) return await openFolder(root.handle, '.');
      const { folder, name } = await this.#walk(address, true);
      try {
        return await openLeaf(folder, name);
      } finally {
        await folder.close();
      }
    } catch (error) {
      throw systemError(error, address, { ENOENT: 'FILE_NOT_FOUND', ENOTDIR: 'FILE_NOT_FOUND' });
    }
  }

  async target(address: ImageAddress): Promise<ResolvedTarget> {
    return this.#find(address).root.gate.enter(
      () => this.#openTarget(address),
      ({ directory }) => directory.close(),
    );
  }

  async #openTarget(address: ImageAddress): Promise<ResolvedTarget> {
    const place = await this.#walk(address, false).catch((error: unknown) => {
      throw systemError(error, address, { ENOENT: 'PARENT_NOT_FOUND', ENOTDIR: 'PARENT_NOT_FOUND' });
    });
    try {
      const { folder, name, root } = place;
      const policy = findRoot(this.roots, place.realPath)?.root ?? root; // a link may have led into a root inside the root
      if (policy.access === 'read-only') {
        throw new HostlerError('ROOT_READ_ONLY', `${address} lies in a read-only root`, { facts: { path: address } });
      }
      const { dev, ino } = await folder.stat({ bigint: true });
      const existing = await lookAt(folder, name, address);
      return {
        address,
        storedName: address,
        directory: folder,
        directoryIdentity: { device: dev, inode: ino },
        name,
        defaults: policy.attributes,
        ...(existing === undefined ? {} : { existing }),
      };
    } catch (error) {
      await place.folder.close();
      throw systemError(error, address);
    }
  }

  async #open(path: string, address: ImageAddress): Promise<Resolved> {
    return this.#find(path).root.gate.enter(
      () => this.#openSource(path, address),
      ({ handle }) => handle.close(),
    );
  }

  async #openSource(path: string, address: ImageAddress): Promise<Resolved> {
    try {
      const { folder, name } = await this.#walk(path, true);
      try {
        return await openFile(folder, name, path, address);
      } finally {
        await folder.close();
      }
    } catch (error) {
      throw systemError(error, path);
    }
  }

  #walk(path: string, follow: boolean): Promise<Place> {
    const { root, components } = this.#find(path);
    return new PathWalk(root, components, this.closedFolders, path).place(follow);
  }

  #find(path: string): { readonly root: Root; readonly components: readonly string[] } {
    const found = findRoot(this.roots, path);
    if (found !== undefined) return found;
    throw new HostlerError('PATH_OUTSIDE_ROOTS', `${path} lies outside the configured roots`, { facts: { path } });
  }
}

async function openFile(folder: FileHandle, name: string, path: string, address: ImageAddress): Promise<Resolved> {
  const handle = await openLeaf(folder, name);
  try {
    const stat = await handle.stat({ bigint: true });
    if (!stat.isFile()) {
      // Between the walk and now somebody put a link there; whoever does that gets no second try.
      throw new HostlerError('NOT_A_FILE', `${path} is not a regular file`, { facts: { path } });
    }
    return {
      address,
      storedName: path,
      handle,
      device: stat.dev,
      inode: stat.ino,
      lengthBytes: stat.size,
      allocatedBytes: stat.blocks * BLOCK_BYTES,
      modifyTimeNs: stat.mtimeNs,
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function lookAt(folder: FileHandle, name: string, address: ImageAddress): Promise<ExistingTarget | undefined> {
  const handle = await openLeaf(folder, name).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw systemError(error, address);
  });
  if (handle === undefined) return undefined;
  try {
    const stat = await handle.stat({ bigint: true });
    const type = stat.isFile() ? 'file' : stat.isSymbolicLink() ? 'link' : 'other';
    return { type, device: stat.dev, inode: stat.ino, allocatedBytes: stat.blocks * BLOCK_BYTES };
  } finally {
    await handle.close();
  }
}
