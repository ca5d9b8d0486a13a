import type { ImageAddress } from '../model/address.js';
import type { Resolved, Entry } from './handles.js';
import type { ResolvedTarget } from './targets.js';

export interface EntryNeed {
  readonly follow: boolean;
  readonly access: 'look' | 'change' | 'change tree';
}

/** Folders that the lookups of one call share, so that each is walked to once. */
export interface SharedFolders {
  /** Call it after the last lookup. */
  close(): Promise<void>;
}

/**
 * Resolves addresses inside the roots, component by component, by handles. The caller closes every
 * returned handle.
 */
export interface Paths {
  /**
   * With `unread` a cluster is not asked for the space of an image, which may take it seconds; its
   * length is used instead. With `folders` a folder that another lookup of the call has reached
   * recently is not walked to again. Fails with PATH_OUTSIDE_ROOTS, IMAGE_NOT_FOUND, NOT_A_FILE,
   * ACCESS_DENIED.
   */
  source(address: ImageAddress, reading?: 'unread', folders?: SharedFolders): Promise<Resolved>;
  /**
   * A name found in the header of `from`: absolute, or relative to the folder of `from`. `folders`
   * as for `source`. Fails as `source`.
   */
  named(name: string, from: Resolved, folders?: SharedFolders): Promise<Resolved>;
  /**
   * The entry with this name. With `follow` a link in the last component is followed. To change it,
   * it must lie in a writable root; to change the tree, everything below it too. Fails with
   * PATH_OUTSIDE_ROOTS, FILE_NOT_FOUND, ROOT_READ_ONLY, ACCESS_DENIED.
   */
  entry(address: ImageAddress, need: EntryNeed): Promise<Entry>;
  /**
   * A name in a folder, for entries that are not images: as `target`, in roots of files only. With
   * `tree` the entry is changed with everything in it: all of it must be in writable roots. Fails
   * as `target`, and with UNSUPPORTED_BY_BACKEND; with `tree` also with DIRECTORY_RESERVED.
   */
  place(address: ImageAddress, need: 'name' | 'tree'): Promise<ResolvedTarget>;
  /** Fails with PATH_OUTSIDE_ROOTS, PARENT_NOT_FOUND, ROOT_READ_ONLY, ACCESS_DENIED. */
  target(address: ImageAddress): Promise<ResolvedTarget>;
  /**
   * Refuses an address that a header may not name: one that leads out of the roots, out of the
   * caller's places, or into a folder of the daemon. It need not exist. Fails with
   * PATH_OUTSIDE_ROOTS.
   */
  assertNameable(address: ImageAddress): Promise<void>;
}
