/** Messages between the main thread and the thread of an inventory. */
import type { FileIdentity } from '../../domain/ports/handles.js';
import type { Hold } from '../../domain/ports/inventory.js';
import type { StoredChange, StoredImage } from './inventory-file.js';
import type { UnseenPlace } from './inventory-look.js';
import type { Region } from './region.js';

/** A watcher renews its interest more often than this. */
export const WATCHED_MS = 10_000;

export interface InventoryJob {
  /** Path of the root, in bytes. */
  readonly root: string;
  readonly identity: FileIdentity;
  readonly closed: readonly string[];
  /** Path of the database. */
  readonly file: string;
  /**
   * Whether the filesystem is local and so reports every change; a network filesystem does not
   * report those of other hosts.
   */
  readonly local: boolean;
  /** The folder that contains the folders of instances. */
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

/** A row, with the facts that are determined only for an answer. */
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
  /** `ofState`: the disk with the inventory cannot be used, or the database is damaged. */
  | { readonly kind: 'failed'; readonly text: string; readonly ofState: boolean };

export type InventoryMessage =
  | { readonly kind: 'beat' }
  /** The inventory has changed. */
  | { readonly kind: 'moved'; readonly number: number }
  /** Background work failed. */
  | { readonly kind: 'failed'; readonly text: string }
  | { readonly kind: 'answer'; readonly id: number; readonly answer: InventoryAnswer };
