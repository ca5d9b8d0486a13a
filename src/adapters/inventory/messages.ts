/** What the thread of an inventory is asked, and what it says. */
import type { FileIdentity } from '../../domain/ports/handles.js';
import type { Hold } from '../../domain/ports/inventory.js';
import type { StoredChange, StoredImage } from './inventory-file.js';
import type { UnseenPlace } from './inventory-look.js';
import type { Region } from './region.js';

/** Who watches says so more often than this. */
export const WATCHED_MS = 10_000;

export interface InventoryJob {
  /** Its path, as bytes. */
  readonly root: string;
  readonly identity: FileIdentity;
  readonly closed: readonly string[];
  /** Of the database. */
  readonly file: string;
  /** Its filesystem tells of changes by any host; a server's does not. */
  readonly local: boolean;
  /** Below it are the folders of instances. */
  readonly instances: string;
}

export type InventoryQuestion =
  | {
      readonly kind: 'page';
      readonly region: Region;
      readonly from?: {
        readonly life: string;
        readonly number: number;
        readonly folder: string;
        readonly name: string;
      };
      readonly limit: number;
      /** Only images that are backed by this path. */
      readonly backedBy?: string;
    }
  | {
      readonly kind: 'changes';
      readonly region: Region;
      readonly since: { readonly life: string; readonly number: number };
      readonly limit: number;
    }
  /** How many images are backed by each of these paths, which lie in another root. */
  | { readonly kind: 'dependants'; readonly paths: readonly string[]; readonly inSight: Region['inSight'] };

/** A row, with what is only known when it is asked for. */
export interface Shown {
  readonly allocatedBytes: bigint;
  readonly dependants: number;
  readonly hold?: Hold;
  readonly orphaned: boolean;
}

export type InventoryAnswer =
  | {
      readonly kind: 'page';
      readonly life: string;
      readonly number: number;
      readonly images: readonly (StoredImage & Shown)[];
      readonly unseen: readonly UnseenPlace[];
    }
  | {
      readonly kind: 'changes';
      readonly life: string;
      readonly upTo: number;
      readonly changes: readonly (StoredChange & Shown)[];
    }
  /** In the order of the paths. */
  | { readonly kind: 'dependants'; readonly counts: readonly number[] }
  | { readonly kind: 'too old'; readonly life: string }
  | { readonly kind: 'gone'; readonly why: string }
  /** `ofState`: the disk with the inventory cannot be used, or its file is damaged. */
  | { readonly kind: 'failed'; readonly text: string; readonly ofState: boolean };

export type InventoryMessage =
  | { readonly kind: 'beat' }
  /** The inventory has changed. */
  | { readonly kind: 'moved'; readonly number: number }
  /** What nobody has asked for failed. */
  | { readonly kind: 'failed'; readonly text: string }
  | { readonly kind: 'answer'; readonly id: number; readonly answer: InventoryAnswer };
