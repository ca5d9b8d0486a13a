import type { ImageAddress } from '../model/address.js';
import type { OwnerChange, OwnerIds } from '../model/owner-change.js';
import type { Entry, FileRef } from './handles.js';
import type { ToolRun } from './tools.js';

/** The content of files, through handles. */
export interface Contents {
  /**
   * The bytes from `offset` on, `length` of them or up to the end, in order; files without a length
   * (/proc, /sys) up to their end. Fails with IO_ERROR, ROOT_STALLED, ACCESS_DENIED, and with
   * SOURCE_CHANGED if the file became shorter meanwhile.
   */
  read(file: Entry, range: { readonly offset: bigint; readonly length?: bigint }): AsyncIterable<Uint8Array>;
  /** Creates the file and fills it. Fails with NO_SPACE, IO_ERROR. */
  fill(file: FileRef, input: AsyncIterable<Uint8Array>, address: ImageAddress): Promise<void>;
  /**
   * Writes durably from an offset on, or at the end, which other processes may have moved. Fails
   * with NO_SPACE, IO_ERROR, ACCESS_DENIED.
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
  /** Access lists and capabilities could not be read: they contain the same ids as before. */
  readonly rights?: 'unread';
  /** Some files have lost set-id bits or capabilities, because their new id is one of the host. */
  readonly lost: boolean;
}

/** A walk through a tree. */
export interface Walk {
  readonly signal: AbortSignal;
  /** Only count what would be changed. */
  readonly dryRun: boolean;
  /** Called now and then, once the total is known. */
  onProgress?(done: bigint, total: bigint | undefined): void;
}

/** Owners of files. Links are changed themselves, never followed. */
export interface Ownership {
  /** Fails with INVALID_FIELD on an unknown name. */
  ids(owner: OwnerNames, tool: ToolRun): Promise<OwnerIds>;
  /** Changes one entry; false if it already was so. Fails with ACCESS_DENIED, ROOT_STALLED. */
  set(entry: Entry, ids: OwnerIds): Promise<boolean>;
  /**
   * Changes the entry and everything below it, unless all of it already has the wanted owner.
   * Folders of the daemon are left out. Stops between two entries when the signal is aborted. Fails
   * with ACCESS_DENIED.
   */
  walk(entry: Entry, change: OwnerChange, walk: Walk): Promise<WalkCounts>;
}
