import { HostlerError } from '../errors.js';
import type { Clock } from '../ports.js';
import type { CacheEntry, CacheStore } from './cache-entry.js';

export interface CacheLimits {
  readonly maxBytes: bigint;
  readonly maxAgeMs: number;
}

/** What the cache holds, who works with it, and what has to go. */
export class CacheIndex {
  readonly #entries = new Map<string, CacheEntry>();
  readonly #leases = new Map<string, number>();

  private constructor(
    private readonly store: CacheStore,
    readonly limits: CacheLimits,
    private readonly clock: Clock,
  ) {}

  static async load(store: CacheStore, limits: CacheLimits, clock: Clock): Promise<CacheIndex> {
    const index = new CacheIndex(store, limits, clock);
    for (const entry of await store.cacheEntries()) index.#entries.set(entry.id, entry);
    return index;
  }

  /** Least recently used first. */
  get all(): readonly CacheEntry[] {
    return [...this.#entries.values()].sort((a, b) => a.useTimeMs - b.useTimeMs || (a.id < b.id ? -1 : 1));
  }

  get bytes(): bigint {
    return this.all.reduce((sum, { info }) => sum + info.allocatedBytes, 0n);
  }

  /** The latest one of this content. */
  find(key: string): CacheEntry | undefined {
    return [...this.#entries.values()]
      .filter((entry) => entry.key === key)
      .sort((a, b) => b.createTimeMs - a.createTimeMs)[0];
  }

  /** Fails with IMAGE_NOT_FOUND. */
  get(id: string): CacheEntry {
    const entry = this.#entries.get(id);
    if (entry === undefined)
      throw new HostlerError('IMAGE_NOT_FOUND', `the cache has no entry ${id}`, { facts: { cache_id: id } });
    return entry;
  }

  has(id: string): boolean {
    return this.#entries.has(id);
  }

  async put(entry: CacheEntry): Promise<CacheEntry> {
    this.#entries.set(entry.id, entry);
    await this.store.putCacheEntry(entry);
    return entry;
  }

  async remove(entry: CacheEntry): Promise<void> {
    this.#entries.delete(entry.id);
    await this.store.removeCacheEntry(entry);
  }

  async used(entry: CacheEntry): Promise<void> {
    if (this.#entries.has(entry.id)) await this.put({ ...this.get(entry.id), useTimeMs: this.clock() });
  }

  /** Somebody works with it: it is not evicted until the return value is called. */
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

  /** What is too old, and the least recently used of what is too much; pinned and leased entries are passed over. */
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
