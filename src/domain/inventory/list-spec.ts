import type { ImageAddress } from '../model/address.js';
import type { ImageFormat } from '../model/image-format.js';
import type {
  Generation,
  InventoryFacts,
  InventoryImage,
  InventoryPage,
  InventoryPosition,
} from '../ports/inventory.js';
import type { WithMaker } from './makers.js';

/** All conditions must hold; an unset one always holds. */
export interface InventoryFilter {
  /** Empty: any. */
  readonly formats: readonly ImageFormat[];
  readonly hasDependants?: boolean;
  /** Not written since, in ns since 1970. */
  readonly unwrittenSinceNs?: bigint;
  /** Images whose backing file is this image itself. */
  readonly backedBy?: ImageAddress;
  readonly inUse?: boolean;
  readonly orphaned?: boolean;
  /** The operation that created it, if the caller may see that operation. */
  readonly operationId?: string;
  /** That operation has all of these labels. */
  readonly labels: Readonly<Record<string, string>>;
}

export interface ListSpec {
  readonly address: ImageAddress;
  /** Only images directly in the folder. */
  readonly flat: boolean;
  readonly filter: InventoryFilter;
  readonly size: number;
  readonly from?: InventoryPosition;
}

/** An image of a list. Lists of pools have no times. */
export type ListedImage = WithMaker<
  Omit<InventoryImage, 'facts'> & {
    readonly facts: Omit<InventoryFacts, 'modifyTimeNs'> & Partial<Pick<InventoryFacts, 'modifyTimeNs'>>;
  }
>;

export interface ListedPage {
  readonly images: readonly ListedImage[];
  /** Where the page after each of its images begins. */
  readonly next?: InventoryPosition;
  /** Unset for a pool: nobody can follow its changes. */
  readonly generation?: Generation;
  readonly unseen: InventoryPage['unseen'];
}
