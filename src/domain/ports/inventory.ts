import type { ImageFormat } from '../model/image-format.js';
import type { Finding } from '../model/image-info.js';
import type { Entry, FileIdentity } from './handles.js';

/** What the inventory keeps of an image: what its header and its inode said at the last look. */
export interface InventoryFacts extends FileIdentity {
  readonly birthTimeNs?: bigint;
  readonly format: ImageFormat;
  readonly virtualSizeBytes: bigint;
  readonly lengthBytes: bigint;
  readonly modifyTimeNs: bigint;
  /** As stored in the header. */
  readonly backingFile?: string;
  readonly backingFormat?: string;
  readonly encrypted: boolean;
  readonly dirty: boolean;
  readonly corrupt: boolean;
  readonly findings: readonly Finding[];
  /** Why the header cannot be read as that of the format that it claims. */
  readonly malformed?: string;
}

/** A process has an image open and has locked it as qemu does. */
export interface Hold {
  readonly writes: boolean;
  /** Where it can be known. */
  readonly pid?: number;
}

/** An image at its real path. */
export interface InventoryImage {
  /** Where a name is no UTF-8, with characters in the place of what is none. */
  readonly path: string;
  /** The path itself; only where that is no UTF-8. */
  readonly rawPath?: Uint8Array;
  /** Where a list continues after it. */
  readonly position: InventoryPosition;
  readonly facts: InventoryFacts;
  /** Space that it takes now. */
  readonly allocatedBytes: bigint;
  /**
   * Images that are backed by it, and lie in the places of the question: of its root, and of those
   * other trusted roots that can be asked.
   */
  readonly dependants: number;
  /** Unset: nobody holds it. */
  readonly hold?: Hold;
  /** Nobody's base, held by nobody, and in no folder of an instance. */
  readonly orphaned: boolean;
}

/** Where to look, and what may be seen. */
export interface InventoryPlace {
  /** Real path of the root whose inventory it is. */
  readonly root: string;
  /** Real path of a folder or file in it. */
  readonly path: string;
  /** Only what lies in the folder itself. */
  readonly flat: boolean;
  /** Folders and files below which, and only there, images may be seen. */
  readonly inSight: readonly string[] | 'all';
}

/**
 * Where a list is: a generation and the image after which it continues, in the spelling of the
 * inventory.
 */
export interface InventoryPosition {
  readonly life: string;
  readonly number: number;
  readonly folder: string;
  readonly name: string;
}

export interface InventoryPage {
  readonly images: readonly InventoryImage[];
  /** Where the next page begins; undefined: this is the last one. */
  readonly next?: InventoryPosition;
  /** What the whole list shows. */
  readonly generation: Generation;
  /** Where nobody could look. */
  readonly unseen: readonly { readonly path: string; readonly why: string }[];
}

/** A state of an inventory. */
export interface Generation {
  /** Made with the inventory's file. */
  readonly life: string;
  readonly number: number;
}

/** What became of a name. */
export interface InventoryChange {
  readonly kind: 'created' | 'changed' | 'removed';
  readonly path: string;
  readonly rawPath?: Uint8Array;
  /** Unset when it was removed. */
  readonly image?: InventoryImage;
}

/** The images of the roots, kept up to date while somebody asks. */
export interface Inventory {
  /**
   * Where an entry really lies; `flat` and `inSight` are the caller's to say. Fails with
   * UNSUPPORTED_BY_BACKEND for what no inventory holds.
   */
  locate(entry: Entry): Pick<InventoryPlace, 'root' | 'path'>;
  /**
   * At most so many images, in a stable order: from the position on, or the first. With `backedBy`
   * only those that are backed by this path, without others between. Fails with GENERATION_TOO_OLD,
   * ROOT_STALLED, ROOT_UNAVAILABLE.
   */
  page(
    place: InventoryPlace,
    from: InventoryPosition | undefined,
    limit: number,
    backedBy?: string,
  ): Promise<InventoryPage>;
  /**
   * What has changed since, each name once, and the generation up to which that is all: at most so
   * many. Fails as `page`.
   */
  changes(
    place: InventoryPlace,
    since: Generation,
    limit: number,
  ): Promise<{ readonly changes: readonly InventoryChange[]; readonly upTo: Generation }>;
  /**
   * Resolved when the inventory of the root is no longer at this generation, or some seconds later.
   * Fails with the signal's reason.
   */
  moved(root: string, from: Generation, signal: AbortSignal): Promise<void>;
}
