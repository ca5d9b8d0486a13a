import { HostlerError } from '../model/errors.js';
import type { Clock } from '../ports/images.js';
import type { CacheEntry, CacheStore, WhySetAside } from '../ports/image-cache.js';

/** Limit of callers that are remembered for an entry. */
const KNOWN_TO = 64;

export interface CacheLimits {
  readonly maxBytes: bigint;
  readonly maxAgeMs: number;
}

/** The entries of the cache, their users, and which have to be evicted. */
export class CacheIndex {
  readonly #entries = new Map<string, CacheEntry>();
  readonly #aside = new Map<string, CacheEntry>();
  readonly #leases = new Map<string, number>();

  private constructor(
    private readonly store: CacheStore,
    readonly limits: CacheLimits,
    private readonly clock: Clock,
  ) {}

  static async load(store: CacheStore, limits: CacheLimits, clock: Clock): Promise<CacheIndex> {
    const index = new CacheIndex(store, limits, clock);
    for (const entry of await store.cacheEntries()) index.#keep(entry);
    return index;
  }

  /** Least recently used first. */
  get all(): readonly CacheEntry[] {
    return [...this.#entries.values()].sort((a, b) => a.useTimeMs - b.useTimeMs || (a.id < b.id ? -1 : 1));
  }

  get bytes(): bigint {
    return this.all.reduce((sum, { info }) => sum + info.allocatedBytes, 0n);
  }

  /** The latest entry with this content. */
  find(key: string): CacheEntry | undefined {
    return [...this.#entries.values()]
      .filter((entry) => entry.key === key)
      .sort((a, b) => b.createTimeMs - a.createTimeMs)[0];
  }

  /** Fails with IMAGE_NOT_FOUND. */
  get(id: string): CacheEntry {
    const entry = this.#entries.get(id);
    if (entry === undefined) throw notInCache(id);
    return entry;
  }

  has(id: string): boolean {
    return this.#entries.has(id);
  }

  /** Entries that are no longer given out, whose files may still exist. */
  get aside(): readonly CacheEntry[] {
    return [...this.#aside.values()];
  }

  /** Whether a file name belongs to an entry, including those that were set aside. */
  knows(id: string): boolean {
    return this.#entries.has(id) || this.#aside.has(id);
  }

  async put(entry: CacheEntry): Promise<CacheEntry> {
    this.#keep(entry);
    await this.store.putCacheEntry(entry);
    return entry;
  }

  /**
   * Pins or unpins an entry; a pinned one is not evicted. All pinned entries together must fit into
   * the cache. Fails with IMAGE_NOT_FOUND, NO_SPACE.
   */
  pin(id: string, pinned: boolean): Promise<CacheEntry> {
    const entry = this.get(id);
    const others = this.all.filter((each) => each.pinned && each.id !== id);
    const bytes = others.reduce((sum, { info }) => sum + info.allocatedBytes, entry.info.allocatedBytes);
    const { maxBytes } = this.limits;
    if (pinned && !entry.pinned && bytes > maxBytes)
      throw new HostlerError(
        'NO_SPACE',
        `with ${id} what is pinned would take ${String(bytes)} bytes; the cache has ${String(maxBytes)}`,
        { facts: { cache_id: id, needed: String(bytes), free: String(maxBytes) } },
      );
    return this.put({ ...entry, pinned });
  }

  /**
   * From now on the entry is not given out. Whether its file can be removed depends on images that
   * may be backed by it.
   */
  setAside(entry: CacheEntry, why: WhySetAside): Promise<CacheEntry> {
    return this.put({ ...entry, setAside: why });
  }

  /**
   * Call it when the file is gone, or is not the cache's. An entry that has replaced it in the
   * meantime is not affected.
   */
  async forget(entry: CacheEntry): Promise<void> {
    if ((this.#aside.get(entry.id) ?? this.#entries.get(entry.id)) !== entry) return;
    this.#aside.delete(entry.id);
    this.#entries.delete(entry.id);
    await this.store.removeCacheEntry(entry);
  }

  #keep(entry: CacheEntry): void {
    const [into, outOf] = entry.setAside === undefined ? [this.#entries, this.#aside] : [this.#aside, this.#entries];
    outOf.delete(entry.id);
    into.set(entry.id, entry);
  }

  /** Records that a caller was given the entry. */
  async used({ id }: CacheEntry, caller: string): Promise<void> {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    const knownTo = [...(entry.knownTo ?? []).filter((known) => known !== caller), caller].slice(-KNOWN_TO);
    await this.put({ ...entry, useTimeMs: this.clock(), knownTo });
  }

  /** Takes a lease: the entry is not evicted until the returned function is called. */
  lease({ id }: CacheEntry): () => void {
    this.#leases.set(id, (this.#leases.get(id) ?? 0) + 1);
    return () => {
      const left = (this.#leases.get(id) ?? 1) - 1;
      if (left === 0) this.#leases.delete(id);
      else this.#leases.set(id, left);
    };
  }

  isLeased({ id }: CacheEntry): boolean {
    return this.#leases.has(id);
  }

  /**
   * Entries that are too old, and the least recently used ones beyond the size limit; pinned and
   * leased entries are skipped.
   */
  overdue(maxBytes: bigint = this.limits.maxBytes): readonly CacheEntry[] {
    let bytes = this.bytes;
    return this.all.filter((entry) => {
      if (entry.pinned || this.isLeased(entry)) return false;
      const goes = entry.useTimeMs + this.limits.maxAgeMs <= this.clock() || bytes > maxBytes;
      if (goes) bytes -= entry.info.allocatedBytes;
      return goes;
    });
  }
}

/** IMAGE_NOT_FOUND for an id that no entry has. */
export function notInCache(id: string): HostlerError {
  return new HostlerError('IMAGE_NOT_FOUND', `the cache has no entry ${id}`, { facts: { cache_id: id } });
}
