import { constants } from 'node:fs';
import { mkdir, open, readdir, realpath, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { CACHE_SCHEME, cacheIdOf } from '../domain/cache/cache-entry.js';
import type { ImageAddress } from '../domain/address.js';
import { HostlerError } from '../domain/errors.js';
import type { FileAttributes, Paths, Resolved, ResolvedTarget } from '../domain/ports.js';
import { systemError, errnoOf } from './errno.js';
import { O_PATH, procPath } from './handles.js';
import { PRIVATE_PREFIX } from './private-folders.js';

const BLOCK_BYTES = 512n;

/** Where cached images are: a folder that only the daemon writes to. Its files have addresses that no caller can name. */
export class CacheFolder {
  private constructor(
    readonly realPath: string,
    private readonly folder: FileHandle,
    private readonly attributes: FileAttributes,
  ) {}

  static async open(path: string, attributes: FileAttributes): Promise<CacheFolder> {
    await mkdir(path, { recursive: true, mode: 0o711 });
    const real = await realpath(path);
    return new CacheFolder(real, await open(real, O_PATH | constants.O_DIRECTORY), attributes);
  }

  async source(address: ImageAddress): Promise<Resolved> {
    const name = cacheIdOf(address);
    const handle = await open(procPath({ handle: this.folder, name }), O_PATH | constants.O_NOFOLLOW).catch(
      (error: unknown) => {
        throw systemError(error, address);
      },
    );
    const { dev, ino, size, blocks, mtimeNs } = await handle.stat({ bigint: true });
    return {
      storage: 'file',
      address,
      storedName: join(this.realPath, name),
      handle,
      device: dev,
      inode: ino,
      lengthBytes: size,
      allocatedBytes: blocks * BLOCK_BYTES,
      modifyTimeNs: mtimeNs,
      writable: false,
      trusted: true,
    };
  }

  async target(address: ImageAddress): Promise<ResolvedTarget> {
    const name = cacheIdOf(address);
    const { dev, ino } = await this.folder.stat({ bigint: true });
    const existing = await this.source(address).catch((error: unknown) => {
      if (error instanceof HostlerError && error.reason === 'IMAGE_NOT_FOUND') return undefined;
      throw error;
    });
    await existing?.handle.close();
    return {
      storage: 'file',
      address,
      storedName: join(this.realPath, name),
      // One for all, open as long as the daemon lives.
      directory: { fd: this.folder.fd, close: () => Promise.resolve() },
      directoryIdentity: { device: dev, inode: ino },
      name,
      defaults: this.attributes,
      trusted: true,
      ...(existing === undefined ? {} : { existing: { ...existing, type: 'file' as const } }),
    };
  }

  /** Removes what is no entry and belongs to no operation: what a crash left between a file and its entry. */
  async sweep(isEntry: (id: string) => boolean, isAtWork: (folderName: string) => boolean): Promise<readonly string[]> {
    const removed: string[] = [];
    for (const name of await readdir(procPath({ handle: this.folder }))) {
      if (name.startsWith(PRIVATE_PREFIX) ? isAtWork(name) : isEntry(name)) continue;
      await rm(procPath({ handle: this.folder, name }), { recursive: true, force: true }).catch((error: unknown) => {
        if (errnoOf(error) !== 'ENOENT') throw error;
      });
      removed.push(join(this.realPath, name));
    }
    return removed;
  }
}

/** The paths of the roots, and beside them those of the cache. */
export function withCache(paths: Paths, cache: CacheFolder): Paths {
  const isCached = (address: string) => address.startsWith(CACHE_SCHEME);
  return {
    source: (address, reading) => (isCached(address) ? cache.source(address) : paths.source(address, reading)),
    target: (address) => (isCached(address) ? cache.target(address) : paths.target(address)),
    named: (name, from) => paths.named(name, from),
    entry: (address, need) => paths.entry(address, need),
  };
}
