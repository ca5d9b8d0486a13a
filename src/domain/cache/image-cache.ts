import type { Dependants } from '../change-ports.js';
import { HostlerError, asHostlerError } from '../errors.js';
import type { SourceFacts } from '../fetch/ports.js';
import { verifyFile } from '../fetch/take-file.js';
import type { Operations } from '../operations/engine.js';
import type { Run } from '../operations/verb.js';
import type { Files, Paths, Resolved } from '../ports.js';
import { cacheAddress, cacheIdOf, keyOf, mustBeAsked, type CacheEntry, type CacheWish } from './cache-entry.js';
import type { CacheIndex } from './cache-index.js';
import { FILL_CACHE, fillCache, type FillPorts, type FillSpec } from './fill-cache.js';
import { Filling } from './filling.js';

export type CachePorts = FillPorts & {
  readonly paths: Paths;
  readonly dependants: Dependants;
  readonly files: Files;
  readonly newId: () => string;
  readonly onCache: (event: 'hit' | 'miss', bytes: bigint) => void;
};

/** An entry that stays until it is given back. */
export interface Lease {
  readonly entry: CacheEntry;
  readonly file: Resolved;
  readonly fromCache: boolean;
  readonly networkBytes: bigint;
  release(): Promise<void>;
}

/** Images of this host that may be wanted again: each is brought once, however many ask for it. */
export class ImageCache {
  readonly #filling: Filling<FillSpec>;

  constructor(
    private readonly operations: Operations,
    private readonly ports: CachePorts,
  ) {
    this.#filling = new Filling(operations, fillCache(ports), (key) => this.#nextId(key));
  }

  get index(): CacheIndex {
    return this.ports.cache;
  }

  /** The image, from the cache or by way of it. `assertFacts` may refuse it by what its source says. Fails as FetchImage does. */
  async obtain(wish: CacheWish, assertFacts: (facts: SourceFacts) => void, run: Run): Promise<Lease> {
    const key = keyOf(wish);
    // Glance is asked each time: also whether this caller may have it.
    const facts = await this.ports.sources.open(wish.source, run.secrets).describe(run.signal);
    assertFacts(facts);
    const found = await this.#usable(key, wish, facts, run);
    if (found !== undefined) {
      this.ports.onCache('hit', found.file.lengthBytes);
      return { ...found, fromCache: true, networkBytes: 0n };
    }
    const made = await this.#brought(key, wish, run);
    this.ports.onCache('miss', made.networkBytes);
    // It may be one too many.
    await this.evictOverdue().catch((error: unknown) => {
      run.warn({ reason: 'CLEANUP_FAILED', message: `nothing was evicted: ${asHostlerError(error).message}` });
    });
    return { ...made, fromCache: false };
  }

  async #brought(key: string, wish: CacheWish, run: Run): Promise<Omit<Lease, 'fromCache'>> {
    for (;;) {
      const joined = this.#filling.isUnderWay(key);
      const networkBytes = await this.#bring(key, wish, run);
      const entry = this.index.find(key);
      // Whoever brought it may have had what this caller has not.
      if (entry !== undefined && joined && mustBeAsked(wish) && !(await this.#isStill(entry, wish, run))) continue;
      const made = entry === undefined ? undefined : await this.#open(entry, run);
      if (made === undefined) throw new HostlerError('SOURCE_CHANGED', 'the entry was evicted before it could be used');
      return { ...made, networkBytes };
    }
  }

  /** Removes an entry unless somebody needs it; the space that it took. Fails with IMAGE_IN_USE. */
  async evict(entry: CacheEntry): Promise<bigint> {
    const backing = await this.inUse(entry);
    // Last, so that nothing comes between this look and the removal.
    const why = backing ? 'the backing file of other images' : this.#claim(entry);
    if (why !== undefined)
      throw new HostlerError('IMAGE_IN_USE', `the cache's entry ${entry.id} is ${why}`, {
        facts: { cache_id: entry.id },
      });
    // First the entry: one without a file would be a lie, a file without an entry is swept.
    await this.index.remove(entry);
    const target = await this.ports.paths.target(cacheAddress(entry.id));
    if (target.existing !== undefined) await this.ports.files.remove(target);
    return target.existing?.allocatedBytes ?? 0n;
  }

  /** By age and size. What is needed stays. */
  async evictOverdue(maxBytes?: bigint): Promise<{ readonly items: bigint; readonly freedBytes: bigint }> {
    let [items, freedBytes] = [0n, 0n];
    for (const entry of this.index.overdue(maxBytes)) {
      try {
        freedBytes += await this.evict(entry);
        items += 1n;
      } catch (error) {
        if (asHostlerError(error).reason !== 'IMAGE_IN_USE') throw error;
      }
    }
    return { items, freedBytes };
  }

  /** Whether images of the roots are backed by it. */
  async inUse({ id }: CacheEntry): Promise<boolean> {
    const file = await this.ports.paths.source(cacheAddress(id)).catch(notThere);
    if (file === undefined) return false;
    try {
      return (await this.ports.dependants.of(file)).length > 0;
    } finally {
      await file.handle.close();
    }
  }

  #claim(entry: CacheEntry): string | undefined {
    if (!this.index.has(entry.id)) return 'being evicted';
    if (this.index.get(entry.id).pinned) return 'pinned';
    return this.index.isLeased(entry) ? 'being used' : undefined;
  }

  /** An entry of this content that is what it was, leased. What is not is forgotten. */
  async #usable(
    key: string,
    wish: CacheWish,
    facts: SourceFacts,
    run: Run,
  ): Promise<Pick<Lease, 'entry' | 'file' | 'release'> | undefined> {
    const entry = this.index.find(key);
    if (entry === undefined) return undefined;
    if (facts.immutable !== true && !(await this.#isStill(entry, wish, run))) return undefined;
    return this.#open(entry, run);
  }

  /** The source is asked where no checksum says that it is this content. */
  async #isStill({ verified, validator }: CacheEntry, { source }: CacheWish, run: Run): Promise<boolean> {
    if (verified) return true;
    if (validator === undefined) return false;
    await run.step('revalidate');
    return this.ports.sources.open(source, run.secrets).isStill(validator, run.signal);
  }

  async #open(entry: CacheEntry, run: Run): Promise<Pick<Lease, 'entry' | 'file' | 'release'> | undefined> {
    // Evicted while its source was asked.
    if (!this.index.has(entry.id)) return undefined;
    const give = this.index.lease(entry);
    const file = await this.ports.paths.source(cacheAddress(entry.id)).catch(notThere);
    const release = async () => {
      give();
      await file?.handle.close();
    };
    try {
      if (file !== undefined && (await this.#isWhole(entry, file, run))) {
        await this.index.used(entry);
        return { entry, file, release };
      }
    } catch (error) {
      await release();
      throw error;
    }
    await release();
    // Not removed where images are backed by it: they have nothing better.
    await this.index.remove(entry);
    return undefined;
  }

  async #isWhole({ info, inode, modifyTimeNs, fileSha256 }: CacheEntry, file: Resolved, run: Run): Promise<boolean> {
    const same =
      file.inode === inode && file.modifyTimeNs === modifyTimeNs && file.lengthBytes === info.fileLengthBytes;
    if (!same || !this.ports.cacheVerify) return same;
    if (fileSha256 === undefined) return false;
    try {
      await verifyFile(file, { algorithm: 'sha256', digest: fileSha256 }, file.address, run, this.ports.files);
      return true;
    } catch (error) {
      if (asHostlerError(error).reason !== 'CHECKSUM_MISMATCH') throw error;
      return false;
    }
  }

  #bring(key: string, wish: CacheWish, run: Run): Promise<bigint> {
    const { source, sourceFormat, format, checksum } = wish;
    const spec = {
      key,
      source,
      ...(sourceFormat === undefined ? {} : { sourceFormat }),
      ...(format === undefined ? {} : { format }),
      ...(checksum === undefined ? {} : { checksum }),
    };
    return this.#filling.bring(key, (id) => ({ ...spec, id }), run);
  }

  /** That of an attempt before which left what had come, or a new one. */
  #nextId(key: string): string {
    const { kept } = this.operations.ports.resumes;
    const found = kept.find(({ method, address }) => method === FILL_CACHE && cacheIdOf(address).startsWith(`${key}-`));
    return found === undefined ? `${key}-${this.ports.newId().toLowerCase()}` : cacheIdOf(found.address);
  }
}

function notThere(error: unknown): undefined {
  if (asHostlerError(error).reason !== 'IMAGE_NOT_FOUND') throw error;
  return undefined;
}
