/**
 * The checkpoints of resumable operations, and the leftovers of those that failed.
 *
 * An entry begins with the first checkpoint of an operation and names its private folder. Success
 * and cancel end it. If the operation fails on transport, or the daemon ends before it, entry and
 * folder are kept, within limits of time and size, for the next request for the same work
 * (`Verb.resume.key`), which takes both over.
 */
import type { ImageAddress } from '../../model/address.js';
import type { Clock } from '../../ports/images.js';
import { nowOrLater } from '../journal.js';

/** The progress of work, in a form that the verb defines. */
export type Checkpoint = Readonly<Record<string, string>>;

export interface ResumeEntry {
  /** The verb, and what makes two of its requests the same work. */
  readonly key: string;
  /** The owner of the private folder. */
  readonly operationId: string;
  /**
   * The operation whose name the folder still has, if a crash came between taking over and renaming
   * it.
   */
  readonly formerId?: string;
  readonly method: string;
  readonly labels: Readonly<Record<string, string>>;
  /** The target beside which the folder lies. */
  readonly address: ImageAddress;
  /** The progress in the verb's own form; what it describes is durable. */
  readonly checkpoint: Checkpoint;
  /** Unset: an operation works on it. */
  readonly kept?: { readonly sinceMs: number; readonly bytes: bigint };
}

export type KeptEntry = ResumeEntry & { readonly kept: { readonly sinceMs: number; readonly bytes: bigint } };

/**
 * Stores entries; durable when resolved. Fails with STATE_UNAVAILABLE: the entry is then written
 * later.
 */
export interface ResumeStore {
  resumeEntries(): Promise<readonly ResumeEntry[]>;
  putResumeEntry(entry: ResumeEntry): Promise<void>;
  removeResumeEntry(entry: ResumeEntry): Promise<void>;
}

export interface ResumeLimits {
  readonly ttlMs: number;
  /** Limit of all kept entries together. */
  readonly bytes: bigint;
}

/**
 * Entries in memory and in the store. `load` reads the store once; `put` resolves when the entry is
 * durable.
 */
export class ResumeEntries {
  readonly #entries = new Map<string, ResumeEntry>();

  private constructor(
    private readonly store: ResumeStore,
    readonly limits: ResumeLimits,
    private readonly clock: Clock,
  ) {}

  static async load(store: ResumeStore, limits: ResumeLimits, clock: Clock): Promise<ResumeEntries> {
    const entries = new ResumeEntries(store, limits, clock);
    for (const entry of await store.resumeEntries()) entries.#entries.set(entry.key, entry);
    return entries;
  }

  find(key: string): ResumeEntry | undefined {
    return this.#entries.get(key);
  }

  /** The entry whose folder belongs, or belonged, to this operation. */
  of(operationId: string): ResumeEntry | undefined {
    return [...this.#entries.values()].find(
      (entry) => entry.operationId === operationId || entry.formerId === operationId,
    );
  }

  /** Oldest first. */
  get kept(): readonly KeptEntry[] {
    return [...this.#entries.values()].filter(isKept).sort((a, b) => a.kept.sinceMs - b.kept.sinceMs);
  }

  get keptBytes(): bigint {
    return this.kept.reduce((sum, { kept }) => sum + kept.bytes, 0n);
  }

  /** Durable when resolved. */
  async put(entry: ResumeEntry): Promise<void> {
    this.#entries.set(entry.key, entry);
    await this.store.putResumeEntry(entry);
  }

  /** Its operation has ended without success; the data is kept. */
  async keep(entry: ResumeEntry, bytes: bigint): Promise<void> {
    await nowOrLater(this.put({ ...entry, kept: { sinceMs: this.clock(), bytes } }));
  }

  /** Its folder is gone, or its work is done. */
  async remove(entry: ResumeEntry): Promise<void> {
    if (this.#entries.get(entry.key)?.operationId === entry.operationId) this.#entries.delete(entry.key);
    await nowOrLater(this.store.removeResumeEntry(entry));
  }

  /** Entries that are too old, and the oldest beyond the size limit. */
  overdue(): readonly KeptEntry[] {
    let bytes = this.keptBytes;
    return this.kept.filter(({ kept }) => {
      const goes = kept.sinceMs + this.limits.ttlMs <= this.clock() || bytes > this.limits.bytes;
      if (goes) bytes -= kept.bytes;
      return goes;
    });
  }
}

function isKept(entry: ResumeEntry): entry is KeptEntry {
  return entry.kept !== undefined;
}
