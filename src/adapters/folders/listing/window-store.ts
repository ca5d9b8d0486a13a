import type { BigIntStats } from 'node:fs';
import { holdsNext, type NameWindow } from './name-window.js';

/**
 * A folder that was changed less than 2 s before it was read may change again within the same tick
 * of the clock.
 */
const SETTLED_NS = 2_000_000_000n;

/** When a folder was read, and its stat at that time. */
export interface FolderStamp {
  readonly key: string;
  /** Whether the key can belong to no later folder that reuses the inode number. */
  readonly isUnique: boolean;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly readAtNs: bigint;
}

/** The stamp of a folder that is about to be read. */
export function stampOf({ dev, ino, mtimeNs, ctimeNs, birthtimeNs }: BigIntStats): FolderStamp {
  const key = [dev, ino, birthtimeNs].join(':');
  return { key, isUnique: birthtimeNs !== 0n, mtimeNs, ctimeNs, readAtNs: BigInt(Date.now()) * 1_000_000n };
}

interface Kept {
  readonly stamp: FolderStamp;
  readonly window: NameWindow;
}

/**
 * Windows of recently read folders, as many as fit. A continued list may use a window although the
 * folder has changed since: names added or removed in between may appear or not. A new list may
 * not, and drops windows that are older than its beginning.
 */
export class WindowStore {
  /** Least recently used first. */
  readonly #kept = new Set<Kept>();
  #bytes = 0;

  constructor(private readonly maxBytes: number) {}

  /** @param after the last name that was listed; unset: a new list */
  find(now: FolderStamp, after: string | undefined): NameWindow | undefined {
    if (after === undefined || !now.isUnique)
      for (const each of this.#kept) if (isOutdated(each.stamp, now)) this.#forget(each);
    const found = [...this.#kept].find(({ stamp, window }) => stamp.key === now.key && holdsNext(window, after));
    if (found === undefined) return undefined;
    this.#kept.delete(found);
    this.#kept.add(found);
    return found.window;
  }

  keep(stamp: FolderStamp, window: NameWindow): void {
    for (const each of this.#kept)
      if (each.stamp.key === stamp.key && each.window.after === window.after) this.#forget(each);
    this.#kept.add({ stamp, window });
    this.#bytes += window.bytes;
    for (const oldest of this.#kept) {
      if (this.#bytes <= this.maxBytes) return;
      this.#forget(oldest);
    }
  }

  #forget(each: Kept): void {
    this.#kept.delete(each);
    this.#bytes -= each.window.bytes;
  }
}

/** Whether the folder may have changed since it was read. */
function isOutdated(before: FolderStamp, now: FolderStamp): boolean {
  if (before.key !== now.key) return false;
  const isSame = before.mtimeNs === now.mtimeNs && before.ctimeNs === now.ctimeNs;
  return !isSame || before.readAtNs - before.ctimeNs <= SETTLED_NS;
}
