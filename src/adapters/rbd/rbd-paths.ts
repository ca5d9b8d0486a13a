import { parseRbdName, type ImageAddress, type RbdName } from '../../domain/address.js';
import type { Reach } from '../../domain/access/reach.js';
import { HostlerError, asHostlerError, invalidFields } from '../../domain/errors.js';
import type { Entry, Paths, Resolved, ResolvedTarget, VolumeFacts } from '../../domain/ports.js';
import { PRIVATE_PREFIX } from '../private-folders.js';
import { RbdHandle, imageNumber, numberOf, poolNumber, type Pool, type RbdImage } from './pool.js';
import { imageWords } from './rbd-args.js';
import { parentAddress, parseInfo, parseSnapshots, parseTimeMs, parseUsedBytes, type RbdInfo } from './rbd-output.js';
import { clusterAccess, type Rbd } from './rbd.js';

/** Asks clusters what addresses stand for. Pools are its roots. */
export class RbdPaths implements Paths {
  constructor(
    private readonly pools: readonly Pool[],
    private readonly rbd: Rbd,
    private readonly reach: Reach,
  ) {}

  async source(address: ImageAddress): Promise<Resolved> {
    const name = parts(address);
    const pool = this.pool(name.pool, address);
    assertPublic(name, address);
    const { namespace, image, snapshot } = name;
    const handle = new RbdHandle(pool, namespace, await clusterAccess(pool.cluster), image, snapshot);
    return this.look(handle, address);
  }

  /** What the cluster says of an image now. */
  async look(handle: RbdHandle, address: ImageAddress): Promise<Resolved> {
    const { pool, namespace, image = '', snapshot } = handle;
    const where: RbdImage = { pool, namespace, image, ...(snapshot === undefined ? {} : { snapshot }) };
    const ask = (verb: string) => this.rbd.ask(pool.cluster, address, [verb, ...imageWords(where), '--format=json']);
    const used = ask('du').then(parseUsedBytes);
    used.catch(() => undefined); // heard below
    const info = parseInfo(await ask('info').catch(snapshotOrImage(where, address)));
    return {
      storage: 'volume',
      trusted: true,
      volume: await this.#facts(where, info, address),
      address,
      storedName: address,
      handle,
      device: poolNumber(pool),
      inode: imageNumber(info.id),
      lengthBytes: info.size,
      allocatedBytes: await used,
      modifyTimeNs: BigInt(parseTimeMs(info.modify_timestamp)) * 1_000_000n,
      writable: pool.access === 'read-write' && snapshot === undefined && this.reach.allows({ address, need: 'write' }),
    };
  }

  async #facts(image: RbdImage, info: RbdInfo, address: ImageAddress): Promise<VolumeFacts> {
    const parent = parentAddress(info);
    const words = ['snap', 'ls', ...imageWords(image), '--format=json'];
    const listed = image.snapshot === undefined && info.snapshot_count > 0;
    const snapshots = listed ? parseSnapshots(await this.rbd.ask(image.pool.cluster, address, words)) : [];
    return { objectSizeBytes: info.object_size, ...(parent === undefined ? {} : { parent }), snapshots };
  }

  named(name: string): Promise<Resolved> {
    // Only files name others in their headers.
    return Promise.reject(new HostlerError('BUG', `an image of a cluster named ${name}`));
  }

  entry(address: ImageAddress): Promise<Entry> {
    return Promise.reject(
      new HostlerError('UNSUPPORTED_BY_BACKEND', `${address} is an image of a cluster, not a file`, {
        facts: { path: address },
      }),
    );
  }

  async target(address: ImageAddress): Promise<ResolvedTarget> {
    const name = parts(address);
    const pool = this.pool(name.pool, address);
    assertPublic(name, address);
    const { namespace, image, snapshot } = name;
    if (pool.access === 'read-only' || snapshot !== undefined) {
      const what =
        snapshot === undefined ? `lies in a read-only pool` : 'is a snapshot, and snapshots are never written';
      throw new HostlerError('ROOT_READ_ONLY', `${address} ${what}`, { facts: { path: address } });
    }
    const existing = await this.#existing({ pool, namespace, image }, address);
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

  async #existing(image: RbdImage, address: ImageAddress): Promise<ResolvedTarget['existing']> {
    const words = ['info', ...imageWords(image), '--format=json'];
    const text = await this.rbd.ask(image.pool.cluster, address, words).catch((error: unknown) => {
      if (asHostlerError(error).reason === 'IMAGE_NOT_FOUND') return undefined;
      throw error;
    });
    if (text === undefined) return undefined;
    const used = await this.rbd.ask(image.pool.cluster, address, ['du', ...imageWords(image), '--format=json']);
    return {
      type: 'volume',
      device: poolNumber(image.pool),
      inode: imageNumber(parseInfo(text).id),
      allocatedBytes: parseUsedBytes(used),
    };
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

/** `rbd` says the same of a missing snapshot as of a missing image. */
function snapshotOrImage({ snapshot }: RbdImage, address: ImageAddress): (error: unknown) => never {
  return (error) => {
    const known = asHostlerError(error);
    if (known.reason !== 'IMAGE_NOT_FOUND') throw error;
    const what = snapshot === undefined ? 'does not exist' : 'does not exist, or has no such snapshot';
    throw new HostlerError('IMAGE_NOT_FOUND', `${address} ${what}`, { facts: { ...known.facts, path: address } });
  };
}
