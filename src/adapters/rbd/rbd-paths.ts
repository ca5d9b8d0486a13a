import { asAddress, parseRbdName, type ImageAddress, type RbdName } from '../../domain/model/address.js';
import type { PathScope } from '../../domain/access/path-scope.js';
import { HostlerError, invalidFields, unsupported } from '../../domain/model/errors.js';
import { PRIVATE_PREFIX } from '../paths/private-folders.js';
import { RbdHandle, imageNumber, numberOf, poolNumber, type Pool, type RbdImage } from '../qemu/rbd-pool.js';
import type { RbdImages } from './rbd-images.js';
import { parentAddress, parseTimeMs, type RbdInfo } from './rbd-output.js';
import { clusterAccess } from './rbd.js';
import type { Entry, Resolved, VolumeFacts } from '../../domain/ports/handles.js';
import type { ResolvedTarget } from '../../domain/ports/targets.js';
import type { Paths } from '../../domain/ports/paths.js';

/** Resolves addresses in clusters. Pools are their roots. */
export class RbdPaths implements Paths {
  constructor(
    private readonly pools: readonly Pool[],
    private readonly images: RbdImages,
    private readonly scope: PathScope,
  ) {}

  async source(address: ImageAddress, reading?: 'unread'): Promise<Resolved> {
    const name = parts(address);
    const pool = this.open(name.pool, address);
    assertPublic(name, address);
    const { namespace, image, snapshot } = name;
    const handle = new RbdHandle(pool, namespace, await clusterAccess(pool.cluster), image, snapshot);
    return this.look(handle, address, reading);
  }

  /** The current state of an image; for an `empty` one the used space is known. */
  async look(handle: RbdHandle, address: ImageAddress, content?: 'unread' | 'empty'): Promise<Resolved> {
    const { pool, namespace, image = '', snapshot } = handle;
    const where: RbdImage = { pool, namespace, image, ...(snapshot === undefined ? {} : { snapshot }) };
    const found = await (content === undefined ? this.images.look(where) : this.images.info(where));
    if (found === undefined) throw missing(where, address);
    const { info, usedBytes } =
      'info' in found ? found : { info: found, usedBytes: content === 'empty' ? 0n : found.size };
    return {
      storage: 'volume',
      trusted: true,
      volume: await this.#facts(where, info),
      address,
      storedName: address,
      handle,
      device: poolNumber(pool),
      inode: imageNumber(info.id),
      lengthBytes: info.size,
      allocatedBytes: usedBytes,
      modifyTimeNs: BigInt(parseTimeMs(info.modify_timestamp)) * 1_000_000n,
      writable: pool.access === 'read-write' && snapshot === undefined && this.scope.allows({ address, need: 'write' }),
    };
  }

  async #facts(image: RbdImage, info: RbdInfo): Promise<VolumeFacts> {
    const parent = parentAddress(info);
    const listed = image.snapshot === undefined && info.snapshot_count > 0;
    const snapshots = listed ? await this.images.snapshots(image) : [];
    return { objectSizeBytes: info.object_size, ...(parent === undefined ? {} : { parent }), snapshots };
  }

  /** An image's parent by the cluster's own name: callers may be unable to name it. */
  async named(name: string): Promise<Resolved> {
    const address = asAddress(name);
    const parent = parts(address);
    this.scope.assert({ address, need: 'read' });
    const pool = this.open(parent.pool, address);
    const { namespace, image, snapshot } = parent;
    const handle = new RbdHandle(pool, namespace, await clusterAccess(pool.cluster), image, snapshot);
    return this.look(handle, address);
  }

  entry(address: ImageAddress): Promise<Entry> {
    return Promise.reject(noFile(address));
  }

  place(address: ImageAddress): Promise<ResolvedTarget> {
    return Promise.reject(noFile(address));
  }

  async target(address: ImageAddress): Promise<ResolvedTarget> {
    const name = parts(address);
    const pool = this.open(name.pool, address);
    assertPublic(name, address);
    const { namespace, image, snapshot } = name;
    if (pool.access === 'read-only' || snapshot !== undefined) {
      const what =
        snapshot === undefined ? `lies in a read-only pool` : 'is a snapshot, and snapshots are never written';
      throw new HostlerError('ROOT_READ_ONLY', `${address} ${what}`, { facts: { path: address } });
    }
    const existing = await this.#existing({ pool, namespace, image });
    return {
      storage: 'volume',
      trusted: true,
      address,
      storedName: address,
      directory: new RbdHandle(pool, namespace, await clusterAccess(pool.cluster)),
      directoryIdentity: { device: poolNumber(pool), inode: numberOf(namespace) },
      name: image,
      defaults: {},
      ...(existing === undefined ? {} : { existing }),
    };
  }

  async assertNameable(address: ImageAddress): Promise<void> {
    const name = parts(address);
    this.open(name.pool, address);
    assertPublic(name, address);
    return Promise.resolve();
  }

  async #existing(image: RbdImage): Promise<ResolvedTarget['existing']> {
    // In most cases there is none.
    const info = await this.images.info(image);
    if (info === undefined) return undefined;
    return {
      type: 'volume',
      device: poolNumber(image.pool),
      inode: imageNumber(info.id),
      allocatedBytes: (await this.images.look(image))?.usedBytes ?? 0n,
    };
  }

  /** A configured pool that the caller may use. Fails with POOL_NOT_FOUND, PATH_OUTSIDE_ROOTS. */
  open(name: string, what: string): Pool {
    const pool = this.pool(name, what);
    this.scope.assertNamed(pool.roles, what);
    return pool;
  }

  /** The same for requests about the pool itself. Also fails with ROOT_READ_ONLY. */
  openWhole(name: string, need: 'read' | 'write'): Pool {
    const address = `rbd:${name}`;
    const pool = this.open(name, address);
    this.scope.assert({ address, need });
    return pool;
  }

  /** A configured pool. Fails with POOL_NOT_FOUND. */
  pool(name: string, what: string): Pool {
    const pool = this.pools.find((each) => each.name === name);
    if (pool !== undefined) return pool;
    throw new HostlerError('POOL_NOT_FOUND', `${what}: no pool ${name} is configured`, { facts: { pool: name } });
  }
}

function parts(address: ImageAddress): RbdName {
  const name = parseRbdName(address);
  if ('problem' in name) throw invalidFields([{ field: 'path', description: name.problem }]);
  return name;
}

/** Images that the daemon keeps for itself have names that no caller can use. */
function assertPublic({ image }: RbdName, address: ImageAddress): void {
  if (image.startsWith(PRIVATE_PREFIX))
    throw new HostlerError('PATH_OUTSIDE_ROOTS', `${address} is an image that the daemon keeps for itself`, {
      facts: { path: address },
    });
}

/** `rbd` prints the same for a missing snapshot as for a missing image. */
function missing({ snapshot }: RbdImage, address: ImageAddress): HostlerError {
  const what = snapshot === undefined ? 'does not exist' : 'does not exist, or has no such snapshot';
  return new HostlerError('IMAGE_NOT_FOUND', `${address} ${what}`, { facts: { path: address } });
}

function noFile(address: ImageAddress): HostlerError {
  return unsupported(`${address} is an image of a cluster, not a file`, { path: address });
}
