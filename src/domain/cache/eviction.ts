/**
 * Evicts images from the cache: only those that are known to be its own, and known to be needed by
 * no other image.
 */
import { assertLookedAt, mayHaveDependants, type Dependants, type DependantsFound } from '../ports/changes.js';
import { HostlerError, asHostlerError } from '../model/errors.js';
import type { Files } from '../ports/images.js';
import { cacheAddress } from './cache-entry.js';
import { notInCache, type CacheIndex } from './cache-index.js';
import type { CacheEntry, CacheFiles, UnknownFile, WhySetAside } from '../ports/image-cache.js';
import type { Paths } from '../ports/paths.js';

export interface EvictionPorts {
  readonly cache: CacheIndex;
  readonly paths: Paths;
  readonly files: Files;
  readonly dependants: Dependants;
  readonly cacheFiles: CacheFiles;
  /** Called when an image has left the cache and this much space is free. */
  readonly onEvicted: (freedBytes: bigint) => void;
}

const BACKING = 'the backing file of other images';

const NS_PER_MS = 1_000_000n;

export interface SetAsideFile {
  readonly id: string;
  readonly why: WhySetAside | 'unknown';
  readonly allocatedBytes: bigint;
  readonly modifyTimeMs: number;
}

/** How many entries were removed, and the space that they occupied. */
export interface Evicted {
  readonly items: bigint;
  readonly freedBytes: bigint;
}

/**
 * Removes entries of the cache and their files, never one that is pinned, leased or backs another
 * image.
 */
export class Eviction {
  constructor(private readonly ports: EvictionPorts) {}

  get index(): CacheIndex {
    return this.ports.cache;
  }

  /**
   * Removes an entry that nothing needs and returns the bytes that became free. Fails with
   * IMAGE_IN_USE, DEPENDANTS_UNKNOWN.
   */
  async evict(entry: CacheEntry): Promise<bigint> {
    const answer = await this.#dependantsOf(entry.id);
    // Claimed last, so that nothing can change between this check and the removal.
    const why = answer.found.length > 0 ? BACKING : this.#claim(entry);
    if (why !== undefined) throw inUse(entry.id, why);
    assertLookedAt(answer, `the cache's entry ${entry.id}`);
    // The entry first: an entry without a file would be wrong, and a file without an entry would
    // never be removed.
    const aside = await this.index.setAside(entry, 'evicting');
    const freed = await this.#removeFile(entry.id, entry.inode);
    await this.index.forget(aside);
    this.ports.onEvicted(freed);
    return freed;
  }

  /**
   * Removes a file without an entry, or whose entry was set aside. Fails with IMAGE_NOT_FOUND,
   * IMAGE_IN_USE, DEPENDANTS_UNKNOWN, NOT_A_FILE.
   */
  async removeSetAside(id: string): Promise<bigint> {
    const entry = this.index.aside.find((each) => each.id === id);
    const unknown = (await this.unknown()).find(({ name }) => name === id);
    if (entry === undefined && unknown === undefined) throw notInCache(id);
    if (unknown?.kind === 'other')
      throw new HostlerError('NOT_A_FILE', `${id} in the cache's folder is no regular file: remove it by hand`);
    const answer = await this.#dependantsOf(id);
    if (answer.found.length > 0) throw inUse(id, BACKING);
    if (entry !== undefined && this.index.isLeased(entry)) throw inUse(id, 'being used');
    assertLookedAt(answer, `the file ${id} of the cache`);
    const freed = await this.#removeFile(id);
    if (entry !== undefined) await this.index.forget(entry);
    return freed;
  }

  /** Passes for an entry, or a file without one. Fails with IMAGE_NOT_FOUND. */
  async assertHas(id: string): Promise<void> {
    if (this.index.knows(id) || (await this.unknown()).some(({ name }) => name === id)) return;
    throw notInCache(id);
  }

  /** All files that take space in the cache's folder and are not given out. */
  async setAside(): Promise<readonly SetAsideFile[]> {
    const entries = this.index.aside.map(({ id, setAside: why = 'unfinished', info, modifyTimeNs }) => ({
      id,
      why,
      allocatedBytes: info.allocatedBytes,
      modifyTimeMs: Number(modifyTimeNs / NS_PER_MS),
    }));
    const unknown = (await this.unknown()).map(({ name, ...rest }) => ({ id: name, why: 'unknown' as const, ...rest }));
    return [...entries, ...unknown];
  }

  /** Files in the cache's folder without an entry. */
  unknown(): Promise<readonly UnknownFile[]> {
    return this.ports.cacheFiles.unknown((id) => this.index.knows(id));
  }

  /**
   * Removes files of entries that were set aside, if they belong to the cache and no image needs
   * them. Returns the space that they occupied.
   */
  async discardSetAside(): Promise<Evicted> {
    let [items, freedBytes] = [0n, 0n];
    for (const entry of this.index.aside) {
      const file = await this.ports.paths.source(cacheAddress(entry.id)).catch(notThere);
      await file?.handle.close();
      if (this.index.isLeased(entry)) continue;
      // Another program put a file with this name there.
      if (file?.inode !== entry.inode) await this.index.forget(entry);
      else if (!mayHaveDependants(await this.#dependantsOf(entry.id)) && !this.index.isLeased(entry)) {
        freedBytes += await this.#removeFile(entry.id, entry.inode);
        items += 1n;
        await this.index.forget(entry);
      }
    }
    return { items, freedBytes };
  }

  /** Evicts by age and size. Entries that are needed, or may be, stay. */
  async evictOverdue(maxBytes?: bigint): Promise<Evicted> {
    let [items, freedBytes] = [0n, 0n];
    for (const entry of this.index.overdue(maxBytes)) {
      if (mayHaveDependants(await this.#dependantsOf(entry.id))) continue;
      try {
        freedBytes += await this.evict(entry);
        items += 1n;
      } catch (error) {
        if (!['IMAGE_IN_USE', 'DEPENDANTS_UNKNOWN'].includes(asHostlerError(error).reason)) throw error;
      }
    }
    return { items, freedBytes };
  }

  /** Whether images of the roots are, or may be, backed by it. */
  async inUse({ id }: Pick<CacheEntry, 'id'>): Promise<boolean> {
    return mayHaveDependants(await this.#dependantsOf(id));
  }

  async #dependantsOf(id: string): Promise<DependantsFound> {
    const file = await this.ports.paths.source(cacheAddress(id)).catch(notThere);
    if (file === undefined) return { known: true, found: [] };
    try {
      return await this.ports.dependants.of(file);
    } finally {
      await file.handle.close();
    }
  }

  /** Returns the space that the file occupied. With an inode: another file with that name stays. */
  async #removeFile(id: string, inode?: bigint): Promise<bigint> {
    const target = await this.ports.paths.target(cacheAddress(id));
    if (target.existing === undefined || target.existing.inode !== (inode ?? target.existing.inode)) return 0n;
    await this.ports.files.remove(target);
    return target.existing.allocatedBytes;
  }

  #claim(entry: CacheEntry): string | undefined {
    if (!this.index.has(entry.id)) return 'being evicted';
    if (this.index.get(entry.id).pinned) return 'pinned';
    return this.index.isLeased(entry) ? 'being used' : undefined;
  }
}

function inUse(id: string, why: string): HostlerError {
  return new HostlerError('IMAGE_IN_USE', `the cache's entry ${id} is ${why}`, { facts: { cache_id: id } });
}

/** For `catch`: returns undefined for IMAGE_NOT_FOUND; rethrows other errors. */
export function notThere(error: unknown): undefined {
  if (asHostlerError(error).reason !== 'IMAGE_NOT_FOUND') throw error;
  return undefined;
}
