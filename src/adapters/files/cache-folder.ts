import { constants } from 'node:fs';
import { lstat, open, readdir, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheIdOf } from '../../domain/cache/cache-entry.js';
import type { ImageAddress } from '../../domain/model/address.js';
import { HostlerError } from '../../domain/model/errors.js';
import { systemError, errnoOf } from '../linux/errno.js';
import { folderEntries } from '../gates/folder-entries.js';
import { RootedHandle, statOrClose } from '../gates/handles.js';
import { LocalMounts } from '../linux/local-mounts.js';
import { mountOf, readMounts } from '../linux/mounts.js';
import { claimCache, isPartOfCache, type CacheClaimant } from '../owned/cache-claim.js';
import { removePrivateFolder } from '../paths/private-folders.js';
import { RootGate } from '../gates/root-gate.js';
import { sizesOf } from '../linux/system-sizes.js';
import type { CacheFiles, UnknownFile } from '../../domain/ports/image-cache.js';
import { O_PATH, procPath } from '../linux/proc-path.js';
import type { FileAttributes, FileIdentity, Resolved } from '../../domain/ports/handles.js';
import type { ResolvedTarget } from '../../domain/ports/targets.js';

const NOTHING_TO_CLOSE = () => Promise.resolve();

/**
 * The folder of cached images, which only the daemon writes to. No caller can name its files by an
 * address.
 */
export class CacheFolder implements CacheFiles {
  #lock: FileHandle | undefined;
  /** Result of the latest scan for unknown files. */
  latest = { count: 0, bytes: 0n };

  readonly #gate: RootGate;

  private constructor(
    readonly realPath: string,
    readonly identity: FileIdentity,
    private readonly folder: FileHandle,
    private readonly attributes: FileAttributes,
    gate: RootGate,
  ) {
    this.#gate = gate;
  }

  /**
   * @param realPath of an existing folder
   * @param patienceMs how long its disk may take to answer; after that, calls fail with
   * ROOT_STALLED
   */
  static async open(realPath: string, attributes: FileAttributes, patienceMs: number): Promise<CacheFolder> {
    const folder = await open(realPath, O_PATH | constants.O_DIRECTORY);
    const { dev: device, ino: inode } = await folder.stat({ bigint: true });
    const isLocal = await new LocalMounts().watch(folder, realPath);
    const filesystem = (await mountOf(folder, await readMounts()))?.device ?? '';
    // The descriptor stays open for the life of the daemon.
    const follow = () => assertInPlace(realPath, { device, inode });
    const place = { isLocal, filesystem, follow, hold: () => () => undefined };
    const gate = new RootGate(realPath, patienceMs, place);
    return new CacheFolder(realPath, { device, inode }, folder, attributes, gate);
  }

  source(address: ImageAddress): Promise<Resolved> {
    return this.#gate.enter(
      () => this.#source(address),
      ({ handle }) => handle.close(),
    );
  }

  target(address: ImageAddress): Promise<ResolvedTarget> {
    return this.#gate.enter(() => this.#target(address), NOTHING_TO_CLOSE);
  }

  unknown(isKnown: (id: string) => boolean): Promise<readonly UnknownFile[]> {
    return this.#gate.enter(() => this.#unknown(isKnown), NOTHING_TO_CLOSE);
  }

  async #source(address: ImageAddress): Promise<Resolved> {
    const name = cacheIdOf(address);
    const handle = await RootedHandle.leaf(this.folder, name, this.#gate).catch((error: unknown) => {
      throw systemError(error, address);
    });
    const { dev, ino, size, blocks, mtimeNs } = await statOrClose(handle).catch((error: unknown) => {
      throw systemError(error, address);
    });
    return {
      storage: 'file',
      address,
      storedName: join(this.realPath, name),
      handle,
      device: dev,
      inode: ino,
      ...sizesOf({ size, blocks }),
      modifyTimeNs: mtimeNs,
      writable: false,
      trusted: true,
    };
  }

  async #target(address: ImageAddress): Promise<ResolvedTarget> {
    const name = cacheIdOf(address);
    const { dev, ino } = await this.folder.stat({ bigint: true }).catch(this.#failed);
    const existing = await this.#source(address).catch((error: unknown) => {
      if (error instanceof HostlerError && error.reason === 'IMAGE_NOT_FOUND') return undefined;
      throw error;
    });
    await existing?.handle.close();
    return {
      storage: 'file',
      address,
      storedName: join(this.realPath, name),
      // All files share this handle, which stays open for the life of the daemon.
      directory: RootedHandle.lent(this.folder.fd, this.#gate),
      directoryIdentity: { device: dev, inode: ino },
      name,
      defaults: this.attributes,
      trusted: true,
      ...(existing === undefined ? {} : { existing: { ...existing, type: 'file' as const } }),
    };
  }

  readonly #failed = (error: unknown): never => {
    throw systemError(error, this.realPath);
  };

  /** Claims the folder for this daemon until the daemon ends. Fails with ConfigError. */
  async claim(claimant: CacheClaimant): Promise<void> {
    this.#lock = await claimCache(this.realPath, claimant);
  }

  async release(): Promise<void> {
    await this.#lock?.close();
    await this.folder.close();
  }

  /**
   * Removes private folders that begin with this agent's prefix and whose operation is not running.
   */
  async sweep(prefix: string, isAtWork: (operationId: string) => boolean): Promise<readonly string[]> {
    const removed: string[] = [];
    for (const name of await readdir(procPath({ handle: this.folder })))
      if (name.startsWith(prefix) && !isAtWork(name.slice(prefix.length)))
        removed.push(...(await removePrivateFolder(this.folder, name, this.realPath)));
    return removed;
  }

  async #unknown(isKnown: (id: string) => boolean): Promise<readonly UnknownFile[]> {
    const found: UnknownFile[] = [];
    const folder = RootedHandle.lent(this.folder.fd, this.#gate);
    const entries = await folderEntries(folder).catch(this.#failed);
    for (const entry of entries) {
      const { name } = entry;
      if (isKnown(name) || isPartOfCache(entry)) continue;
      const stat = await lstat(procPath({ handle: this.folder, name }), { bigint: true }).catch((error: unknown) => {
        if (errnoOf(error) !== 'ENOENT') this.#failed(error);
      });
      if (stat === undefined) continue;
      const kind = stat.isFile() ? 'file' : 'other';
      const [allocatedBytes, modifyTimeMs] = [sizesOf(stat).allocatedBytes, Number(stat.mtimeMs)];
      found.push({ name, kind, allocatedBytes, modifyTimeMs });
    }
    const bytes = found.reduce((sum, { allocatedBytes }) => sum + allocatedBytes, 0n);
    this.latest = { count: found.length, bytes };
    return found;
  }
}

/**
 * Overlays name their backing files by the path of this folder. A folder that was moved, or is now
 * covered by another filesystem, must not be used as the cache. Fails with ROOT_UNAVAILABLE and
 * with system errors.
 */
async function assertInPlace(realPath: string, { device, inode }: FileIdentity): Promise<void> {
  const now = await stat(realPath, { bigint: true }).catch((error: unknown) => {
    if (!['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) throw systemError(error, realPath);
  });
  if (now?.dev === device && now.ino === inode) return;
  const why = now === undefined ? 'there is no such folder now' : 'another folder is there now';
  throw new HostlerError('ROOT_UNAVAILABLE', `the cache folder ${realPath} is not where it was: ${why}`, {
    facts: { path: realPath },
  });
}
