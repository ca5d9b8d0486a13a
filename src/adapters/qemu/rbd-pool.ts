import { createHash } from 'node:crypto';
import type { RbdName } from '../../domain/model/address.js';
import { HostlerError } from '../../domain/model/errors.js';
import type { Reference } from '../process/tool-call.js';
import type { FileRef, Handle } from '../../domain/ports/handles.js';

/** A Ceph cluster in the configuration. */
export interface Cluster {
  readonly name: string;
  /** The cluster's own configuration file, with the addresses of its monitors. */
  readonly configFile: string;
  readonly user: string;
  /** Unset: the cluster does not require keys. */
  readonly keyring?: string;
  /** Time limit for short requests to the cluster. */
  readonly patienceMs: number;
  /**
   * How long to wait for the watchers of an image that is to be removed: librbd's watches outlive a
   * killed client by 30 s.
   */
  readonly watcherPatienceMs: number;
  /** Leftovers of another host's daemon count as abandoned after this time without activity. */
  readonly abandonedMs: number;
}

/** A pool that callers may use: the equivalent of a root for files. */
export interface Pool {
  readonly name: string;
  readonly cluster: Cluster;
  readonly access: 'read-write' | 'read-only';
  /** Only callers in these roles reach the pool; unset: all callers whose places include it. */
  readonly roles?: readonly string[];
  /** How long removed images stay in the pool's trash; 0: they are removed at once. */
  readonly trashHours: number;
}

/** References that give qemu access to a cluster; they do not appear in a command line. */
export interface ClusterAccess {
  readonly config: Reference;
  readonly key?: Reference;
}

/**
 * A handle without a descriptor: a pool and namespace, or an image in them. It holds nothing open.
 */
export class RbdHandle implements Handle {
  readonly fd = -1;

  constructor(
    readonly pool: Pool,
    readonly namespace: string,
    readonly access: ClusterAccess,
    readonly image?: string,
    readonly snapshot?: string,
  ) {}

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** The same image at a snapshot. */
  at(snapshot: string): RbdHandle {
    return new RbdHandle(this.pool, this.namespace, this.access, this.image, snapshot);
  }
}

/** An image of a pool that a tool works on. */
export interface RbdImage {
  readonly pool: Pool;
  readonly namespace: string;
  readonly image: string;
  readonly snapshot?: string;
}

/** Whether the handle is that of a pool or image of a Ceph cluster. */
export function isRbdHandle(handle: Handle): handle is RbdHandle {
  return handle instanceof RbdHandle;
}

/** The image that a reference stands for; undefined for a file. */
export function imageOf({ handle, name }: FileRef): RbdImage | undefined {
  if (!isRbdHandle(handle)) return undefined;
  const image = name ?? handle.image;
  if (image === undefined) throw new HostlerError('BUG', 'an address names a pool, not an image');
  const { pool, namespace, snapshot } = handle;
  return { pool, namespace, image, ...(snapshot === undefined ? {} : { snapshot }) };
}

/** The same for adapters that are called only for images of a cluster. */
export function rbdImage(ref: FileRef): RbdImage {
  const image = imageOf(ref);
  if (image === undefined) throw new HostlerError('BUG', 'a file was taken for an image of a cluster');
  return image;
}

/** The image with the name of its pool, as in an address. */
export function nameOf({ pool, ...rest }: RbdImage): RbdName {
  return { ...rest, pool: pool.name };
}

/** Used as the device number: images of one pool share its space. */
export function poolNumber({ cluster, name }: Pool): bigint {
  return numberOf(`${cluster.name}/${name}`);
}

/** The number of an image: ids are hexadecimal, and unique in their pool. */
export function imageNumber(id: string): bigint {
  return BigInt(`0x${id}`);
}

/** 64 bits of the text's SHA-256: a stable number where the port expects a device number. */
export function numberOf(text: string): bigint {
  return createHash('sha256').update(text).digest().readBigUInt64BE();
}
