import type { ImageAddress } from '../model/address.js';
import type { Resolved, Entry } from './handles.js';
import type { ResolvedTarget } from './targets.js';

export interface EntryNeed {
  readonly follow: boolean;
  readonly access: 'look' | 'change' | 'change tree';
}

/** Folders that the looks of one call share, so that each is walked to once. */
export interface SharedFolders {
  /** To be called when the looks are over. */
  close(): Promise<void>;
}

/**
 * Resolves addresses inside the roots, component by component, by handles. Every handle returned is
 * the caller's to close.
 */
export interface Paths {
  /**
   * With `unread` a cluster is not asked what the image takes, which may take it seconds; its
   * length stands for that. With `folders` a folder that another look of the call has come to a
   * moment ago is not walked to again. Fails with PATH_OUTSIDE_ROOTS, IMAGE_NOT_FOUND, NOT_A_FILE,
   * ACCESS_DENIED.
   */
  source(address: ImageAddress, reading?: 'unread', folders?: SharedFolders): Promise<Resolved>;
  /**
   * A name found in the header of `from`: absolute, or relative to where `from` lies. Fails as
   * `source`.
   */
  named(name: string, from: Resolved): Promise<Resolved>;
  /**
   * Whatever has this name. With `follow` a link in the last component is followed; to change it,
   * it must lie in a root that may be written; to change the tree, all that is below it too. Fails
   * with PATH_OUTSIDE_ROOTS, FILE_NOT_FOUND, ROOT_READ_ONLY, ACCESS_DENIED.
   */
  entry(address: ImageAddress, need: EntryNeed): Promise<Entry>;
  /**
   * A name in a folder, for what is no image: as `target`, in roots of files only. With `tree` what
   * has the name goes with all that is in it: all of it must be in roots that may be written. Fails
   * as `target`, and with UNSUPPORTED_BY_BACKEND; with `tree` also with DIRECTORY_RESERVED.
   */
  place(address: ImageAddress, need: 'name' | 'tree'): Promise<ResolvedTarget>;
  /** Fails with PATH_OUTSIDE_ROOTS, PARENT_NOT_FOUND, ROOT_READ_ONLY, ACCESS_DENIED. */
  target(address: ImageAddress): Promise<ResolvedTarget>;
  /**
   * Refuses an address that a header may not name: one that leads out of the roots, out of the
   * caller's places, or into a folder that the daemon keeps for itself. It need not be there. Fails
   * with PATH_OUTSIDE_ROOTS.
   */
  assertNameable(address: ImageAddress): Promise<void>;
}
