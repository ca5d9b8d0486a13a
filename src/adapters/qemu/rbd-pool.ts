import { createHash } from 'node:crypto';
import type { RbdName } from '../../domain/model/address.js';
import { HostlerError } from '../../domain/model/errors.js';
import type { Reference } from '../process/tool-call.js';
import type { FileRef, Handle } from '../../domain/ports/handles.js';

/** A Ceph cluster, as the configuration names it. */
export interface Cluster {
  readonly name: string;
  /** The cluster's own configuration: where its monitors are. */
  readonly configFile: string;
  readonly user: string;
  /** Unset: the cluster wants no keys. */
  readonly keyring?: string;
  /** For small questions to the cluster. */
  readonly patienceMs: number;
  /**
   * How long an image to be removed may still be watched: librbd's watches outlive a client that
   * was killed by 30 s.
   */
  readonly watcherPatienceMs: number;
  /** What another host's daemon has left for so long, with nobody working at it, is abandoned. */
  readonly abandonedMs: number;
}

/** A pool that callers may use: what a root is for files. */
export interface Pool {
  readonly name: string;
  readonly cluster: Cluster;
  readonly access: 'read-write' | 'read-only';
  /** Callers in other roles do not reach it; unset: all do whose places it is in. */
  readonly roles?: readonly string[];
  /** Removed images stay in the pool's trash so long; 0: they go at once. */
  readonly trashHours: number;
}

/** What qemu is given of a cluster, as references: they are in no command line. */
export interface ClusterAccess {
  readonly config: Reference;
  readonly key?: Reference;
}

/**
 * Stands where a file has its descriptor: a pool and namespace, or an image in them. It holds
 * nothing open.
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

  /** The same image as it was at a snapshot. */
  at(snapshot: string): RbdHandle {
    return new RbdHandle(this.pool, this.namespace, this.access, this.image, snapshot);
  }
}

/** An image of a pool that a tool is to work on. */
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

/** The image that a reference stands for; undefined when it is a file. */
export function imageOf({ handle, name }: FileRef): RbdImage | undefined {
  if (!isRbdHandle(handle)) return undefined;
  const image = name ?? handle.image;
  if (image === undefined) throw new HostlerError('BUG', 'an address names a pool, not an image');
  const { pool, namespace, snapshot } = handle;
  return { pool, namespace, image, ...(snapshot === undefined ? {} : { snapshot }) };
}

/** The same for adapters that are asked about images only. */
export function rbdImage(ref: FileRef): RbdImage {
  const image = imageOf(ref);
  if (image === undefined) throw new HostlerError('BUG', 'a file was taken for an image of a cluster');
  return image;
}

/** The image by the name of its pool, as in an address. */
export function nameOf({ pool, ...rest }: RbdImage): RbdName {
  return { ...rest, pool: pool.name };
}

/** What stands for the device number: images of one pool share its space. */
export function poolNumber({ cluster, name }: Pool): bigint {
  return numberOf(`${cluster.name}/${name}`);
}

/** Images' ids are hexadecimal, and unique in their pool. */
export function imageNumber(id: string): bigint {
  return BigInt(`0x${id}`);
}

/** 64 bits of the text's SHA-256: a stable number where the port wants a device number. */
export function numberOf(text: string): bigint {
  return createHash('sha256').update(text).digest().readBigUInt64BE();
}
