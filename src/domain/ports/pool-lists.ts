import type { ImageAddress } from '../model/address.js';
import type { FileIdentity } from './handles.js';

/** A pool of a Ceph cluster, or a part of it. */
export interface PoolPlace {
  readonly pool: string;
  /** Only images in this namespace; empty: only images in none. Unset: all images of the pool. */
  readonly namespace?: string;
}

/** An image of a pool, with what a list of the pool tells. */
export interface PoolImage extends FileIdentity {
  readonly address: ImageAddress;
  readonly virtualSizeBytes: bigint;
  /** Where the cluster would have to check each object: the virtual size. */
  readonly allocatedBytes: bigint;
  /** The snapshot that it is a clone of. */
  readonly parent?: ImageAddress;
  /** A client has locked it, as qemu does for writing. */
  readonly held: boolean;
}

/** The images of a place at one moment. */
export interface PoolList {
  /** Id of the list. */
  readonly life: string;
  /** In the order of their addresses. */
  readonly images: readonly PoolImage[];
  /** Clones in all configured pools, by the image that has the snapshot they are clones of. */
  readonly clones: ReadonlyMap<string, readonly ImageAddress[]>;
  /** Pools that could not be asked for clones, and images that no address can name. */
  readonly unseen: readonly { readonly path: string; readonly why: string }[];
}

/** Lists of the images in pools. A cluster tells nobody of its changes, so each list is a look. */
export interface PoolLists {
  /**
   * Lists the images now. Fails with POOL_NOT_FOUND, PATH_OUTSIDE_ROOTS, ROOT_STALLED,
   * ACCESS_DENIED, CLUSTER_UNUSABLE.
   */
  begin(place: PoolPlace): Promise<PoolList>;
  /** A list that began a short time ago. Fails with GENERATION_TOO_OLD. */
  kept(place: PoolPlace, life: string): PoolList;
}
