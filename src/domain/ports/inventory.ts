import type { ImageFormat } from '../model/image-format.js';
import type { Finding } from '../model/image-info.js';
import type { Entry, FileIdentity } from './handles.js';

/** The inventory's facts of an image, from its header and inode at the last scan. */
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
  /** Why the header cannot be read in the format that it claims. */
  readonly malformed?: string;
}

/** A process has an image open and has locked it as qemu does. */
export interface Hold {
  readonly writes: boolean;
  /** If it can be determined. */
  readonly pid?: number;
}

/** An image at its real path. */
export interface InventoryImage {
  /** In a name that is not UTF-8, invalid bytes are replaced. */
  readonly path: string;
  /** The path itself; only if it is not UTF-8. */
  readonly rawPath?: Uint8Array;
  /** Where a list continues after it. */
  readonly position: InventoryPosition;
  readonly facts: InventoryFacts;
  /** Its current allocated bytes. */
  readonly allocatedBytes: bigint;
  /**
   * Images that are backed by it, within the places of the question: in its root, and in other
   * trusted roots that answer.
   */
  readonly dependants: number;
  /** Unset: no process holds it. */
  readonly hold?: Hold;
  /** It backs no image, no process holds it, and it is in no folder of an instance. */
  readonly orphaned: boolean;
}

/** Where to look, and what may be seen. */
export interface InventoryPlace {
  /** Real path of the root of the inventory. */
  readonly root: string;
  /** Real path of a folder or file in it. */
  readonly path: string;
  /** Only files directly in the folder. */
  readonly flat: boolean;
  /** The folders and files that the caller may see, with everything below them. */
  readonly inSight: readonly string[] | 'all';
}

/**
 * The position of a list: a generation and the image after which it continues, in the inventory's
 * own form.
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
  /** The generation that the whole list shows. */
  readonly generation: Generation;
  /** Places that could not be read. */
  readonly unseen: readonly { readonly path: string; readonly why: string }[];
}

/** A state of an inventory. */
export interface Generation {
  /** Id of the inventory's file. */
  readonly life: string;
  readonly number: number;
}

/** The change of a name. */
export interface InventoryChange {
  readonly kind: 'created' | 'changed' | 'removed';
  readonly path: string;
  readonly rawPath?: Uint8Array;
  /** Unset if it was removed. */
  readonly image?: InventoryImage;
}

/** The images of the roots, kept up to date while requests arrive. */
export interface Inventory {
  /**
   * The real location of an entry; the caller sets `flat` and `inSight`. Fails with
   * UNSUPPORTED_BY_BACKEND for an entry that no inventory covers.
   */
  locate(entry: Entry): Pick<InventoryPlace, 'root' | 'path'>;
  /**
   * At most `limit` images, in a stable order, from the position on, or from the first. With
   * `backedBy` only those that are backed by this path, without gaps. Fails with
   * GENERATION_TOO_OLD, ROOT_STALLED, ROOT_UNAVAILABLE.
   */
  page(
    place: InventoryPlace,
    from: InventoryPosition | undefined,
    limit: number,
    backedBy?: string,
  ): Promise<InventoryPage>;
  /**
   * At most `limit` changes since, each name once, and the generation up to which they are
   * complete. Fails as `page`.
   */
  changes(
    place: InventoryPlace,
    since: Generation,
    limit: number,
  ): Promise<{ readonly changes: readonly InventoryChange[]; readonly upTo: Generation }>;
  /**
   * Resolves when the inventory of the root is no longer at this generation, or after some seconds.
   * Fails with the signal's reason.
   */
  moved(root: string, from: Generation, signal: AbortSignal): Promise<void>;
}
