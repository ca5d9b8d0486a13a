import type { ImageAddress } from '../model/address.js';
import type { OwnerChange, OwnerIds } from '../model/owner-change.js';
import type { Entry, FileRef } from './handles.js';
import type { ToolRun } from './tools.js';

/** What is in files, through handles. */
export interface Contents {
  /**
   * The bytes from `offset` on, `length` of them or up to the end, in order; what has no length of
   * its own (/proc, /sys) up to its end. Fails with IO_ERROR, ROOT_STALLED, ACCESS_DENIED, and with
   * SOURCE_CHANGED when the file became shorter meanwhile.
   */
  read(file: Entry, range: { readonly offset: bigint; readonly length?: bigint }): AsyncIterable<Uint8Array>;
  /** Makes the file and fills it. Fails with NO_SPACE, IO_ERROR. */
  fill(file: FileRef, input: AsyncIterable<Uint8Array>, address: ImageAddress): Promise<void>;
  /**
   * Writes from an offset on, or at the end, wherever others have moved that by then, durably.
   * Fails with NO_SPACE, IO_ERROR, ACCESS_DENIED.
   */
  writeInto(file: Entry, at: bigint | 'end', input: AsyncIterable<Uint8Array>): Promise<void>;
  /** Sets the modification time to now. Fails with ACCESS_DENIED. */
  touch(entry: Entry): Promise<void>;
}

/** An owner as callers name it: a name or a number. */
export interface OwnerNames {
  readonly user?: string;
  readonly group?: string;
}

export interface WalkCounts {
  readonly seenItems: bigint;
  readonly changedItems: bigint;
  /** Access lists and capabilities could not be looked at: they name the ids that they named. */
  readonly rights?: 'unread';
  /**
   * Some files have lost set-id bits or capabilities, because they came to be an id's of the host.
   */
  readonly lost: boolean;
}

/** A walk through a tree. */
export interface Walk {
  readonly signal: AbortSignal;
  /** Only count what would be changed. */
  readonly dryRun: boolean;
  /** Now and then, once it is known how much there is. */
  onProgress?(done: bigint, total: bigint | undefined): void;
}

/** Who owns files. Links are changed themselves, never followed. */
export interface Ownership {
  /** Fails with INVALID_FIELD on a name that nobody has. */
  ids(owner: OwnerNames, tool: ToolRun): Promise<OwnerIds>;
  /** Changes one entry; false when it was so already. Fails with ACCESS_DENIED, ROOT_STALLED. */
  set(entry: Entry, ids: OwnerIds): Promise<boolean>;
  /**
   * Changes the entry and all below it, unless all of it is as it should be already. What the
   * daemon keeps for itself is left out. Stops between two entries when the signal says so. Fails
   * with ACCESS_DENIED.
   */
  walk(entry: Entry, change: OwnerChange, walk: Walk): Promise<WalkCounts>;
}
