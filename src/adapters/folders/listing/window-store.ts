import type { BigIntStats } from 'node:fs';
import { holdsNext, type NameWindow } from './name-window.js';

/** What was changed so shortly before it was read may change again within the clock's same tick. */
const SETTLED_NS = 2_000_000_000n;

/** When a folder was read, and what it was then. */
export interface FolderStamp {
  readonly key: string;
  /** The key is that of no later folder that gets the number of the inode. */
  readonly isUnique: boolean;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly readAtNs: bigint;
}

/** Of a folder that is read from now on. */
export function stampOf({ dev, ino, mtimeNs, ctimeNs, birthtimeNs }: BigIntStats): FolderStamp {
  const key = [dev, ino, birthtimeNs].join(':');
  return { key, isUnique: birthtimeNs !== 0n, mtimeNs, ctimeNs, readAtNs: BigInt(Date.now()) * 1_000_000n };
}

interface Kept {
  readonly stamp: FolderStamp;
  readonly window: NameWindow;
}

/**
 * Windows of folders that were read lately, as many as fit. A list that goes on may use one,
 * although the folder has changed since: what was made or removed meanwhile may come or not. A list
 * that begins may not, and makes the store forget what is older than its beginning.
 */
export class WindowStore {
  /** In the order of their last use. */
  readonly #kept = new Set<Kept>();
  #bytes = 0;

  constructor(private readonly maxBytes: number) {}

  /** @param after the last name that was listed; unset: the list begins */
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
