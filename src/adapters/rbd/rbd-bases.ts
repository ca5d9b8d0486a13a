import { asAddress, parseRbdName, rbdAddress, type ImageAddress } from '../../domain/model/address.js';
import {
  BASE_SCHEME,
  type Base,
  type BaseEntry,
  type BaseFacts,
  type PoolBases,
} from '../../domain/cache/pool-bases.js';
import { describeFile } from '../../domain/images/describe-image.js';
import { HostlerError, asHostlerError } from '../../domain/model/errors.js';
import { rawFacts } from '../../domain/images/raw-facts.js';
import { PRIVATE_PREFIX } from '../paths/private-folders.js';
import { RbdHandle, imageNumber, numberOf, poolNumber, rbdImage, type Pool, type RbdImage } from '../qemu/rbd-pool.js';
import { imageWords } from './rbd-args.js';
import { addressOf, without, type RbdImages } from './rbd-images.js';
import { parseNotes, parseTimeMs, type RbdInfo } from './rbd-output.js';
import type { RbdPaths } from './rbd-paths.js';
import { clusterAccess } from './rbd.js';
import type { FileRef, Resolved } from '../../domain/ports/handles.js';
import type { ResolvedTarget } from '../../domain/ports/targets.js';

/** Prefix of the names of bases. No caller can use such a name, so no caller can plant a base. */
export const BASE_PREFIX = `${PRIVATE_PREFIX}base-`;
const SNAPSHOT = 'base';
const [SOURCE_KEY, CHECKSUM_KEY, USED_KEY] = ['hostler.source', 'hostler.checksum', 'hostler.used'];
const GUARDED_KEY = 'hostler.guarded';
const VALIDATOR_KEY = 'hostler.validator';
const [PINNED_KEY, PINNED] = ['hostler.pinned', 'yes'];

/** Bases in pools, each with one snapshot of which disks are clones. */
export class RbdBases implements PoolBases {
  /** @param pools that keep bases, for themselves and for the other pools of their clusters */
  constructor(
    private readonly images: RbdImages,
    private readonly paths: RbdPaths,
    private readonly options: {
      readonly pools: readonly Pool[];
      readonly clock: () => number;
      /** Prefix of the images that this daemon keeps for itself. */
      readonly mark: string;
    },
  ) {}

  addressOf(target: ImageAddress, id: string): ImageAddress | undefined {
    const name = parseRbdName(target);
    if ('problem' in name) return undefined;
    const own = this.paths.open(name.pool, target);
    const { pools } = this.options;
    const pool =
      pools.find((each) => each.name === own.name) ?? pools.find(({ cluster }) => cluster.name === own.cluster.name);
    return pool === undefined ? undefined : asAddress(`${BASE_SCHEME}${pool.name}/${id}`);
  }

  async find(address: ImageAddress): Promise<Base | undefined> {
    const image = this.#imageAt(address);
    const [file, notes] = await Promise.all([
      this.source(address).catch(without('IMAGE_NOT_FOUND')),
      this.#notes(image).catch(without('IMAGE_NOT_FOUND')),
    ]);
    if (file === undefined) return undefined;
    const validator = notes?.[VALIDATOR_KEY];
    return {
      file,
      checksum: notes?.[CHECKSUM_KEY] ?? '',
      guarded: notes?.[GUARDED_KEY] !== 'no',
      ...(validator === undefined ? {} : { validator }),
    };
  }

  /** The source for a clone: the snapshot of the base. */
  source(address: ImageAddress): Promise<Resolved> {
    return this.#look(this.#imageAt(address), 'unread');
  }

  async #look({ pool, image }: RbdImage, content?: 'unread'): Promise<Resolved> {
    const handle = new RbdHandle(pool, '', await clusterAccess(pool.cluster), image, SNAPSHOT);
    return this.paths.look(handle, rbdAddress({ pool: pool.name, namespace: '', image, snapshot: SNAPSHOT }), content);
  }

  async target(address: ImageAddress): Promise<ResolvedTarget> {
    const base = this.#imageAt(address);
    const { pool, image } = base;
    const info = await this.images.info(base);
    const device = poolNumber(pool);
    return {
      storage: 'volume',
      trusted: true,
      address,
      storedName: addressOf(base),
      directory: new RbdHandle(pool, '', await clusterAccess(pool.cluster)),
      directoryIdentity: { device, inode: numberOf('') },
      name: image,
      defaults: {},
      ...(info === undefined
        ? {}
        : { existing: { type: 'volume', device, inode: imageNumber(info.id), allocatedBytes: info.size } }),
    };
  }

  async freeze(part: FileRef, { source, checksum, guarded, validator }: BaseFacts) {
    const image = rbdImage(part);
    await this.#write(image, SOURCE_KEY, source);
    await this.#write(image, CHECKSUM_KEY, checksum);
    await this.#write(image, GUARDED_KEY, guarded ? 'yes' : 'no');
    if (validator !== undefined) await this.#write(image, VALIDATOR_KEY, validator);
    await this.#write(image, USED_KEY, String(this.options.clock()));
    await this.images.createSnapshot({ ...image, snapshot: SNAPSHOT });
  }

  async used({ file }: Pick<Base, 'file'>): Promise<void> {
    const { pool, namespace, image } = rbdImage(file);
    await this.#write({ pool, namespace, image }, USED_KEY, String(this.options.clock()));
  }

  async list(pool: string): Promise<readonly string[]> {
    const found = this.#keeper(this.paths.openWhole(pool, 'read').name);
    const names = (await this.images.names(found, '')).filter((name) => name.startsWith(BASE_PREFIX));
    return names.map((name) => `rbd:${pool}/${name.slice(BASE_PREFIX.length)}`).sort();
  }

  async entry(id: string): Promise<BaseEntry | undefined> {
    const image = this.#named(id, 'read');
    const asked = await Promise.all([
      this.#look(image),
      this.#notes(image),
      this.images.info(image),
      this.images.children(image),
    ]).catch(without('IMAGE_NOT_FOUND'));
    if (asked === undefined) return undefined;
    const [file, notes, info, children] = asked;
    const createTimeMs = parseTimeMs(info?.create_timestamp ?? '');
    return {
      id,
      source: notes[SOURCE_KEY] ?? '',
      checksum: notes[CHECKSUM_KEY] ?? '',
      info: describeFile(file, rawFacts(file), false),
      pinned: notes[PINNED_KEY] === PINNED,
      createTimeMs,
      useTimeMs: Number(notes[USED_KEY] ?? createTimeMs),
      inUse: children.length > 0,
    };
  }

  async pin(id: string, pinned: boolean): Promise<void> {
    await this.#write(this.#named(id, 'write'), PINNED_KEY, pinned ? PINNED : 'no');
  }

  async evict(id: string): Promise<bigint> {
    const base = this.#named(id, 'write');
    const [found, pinned] = await Promise.all([this.images.look(base), this.#note(base, PINNED_KEY)]);
    if (found === undefined)
      throw new HostlerError('IMAGE_NOT_FOUND', `there is no base ${id}`, { facts: { cache_id: id } });
    const gone = pinned !== PINNED && (await this.#remove(base, found.info));
    if (gone) return found.usedBytes;
    const why = pinned === PINNED ? 'pinned' : 'the base of other images';
    throw new HostlerError('IMAGE_IN_USE', `the base ${id} is ${why}`, { facts: { cache_id: id } });
  }

  /**
   * Removes bases that were not used for this time and have no clones. Returns what was removed.
   */
  async expire(maxAgeMs: number): Promise<readonly string[]> {
    const removed: string[] = [];
    for (const pool of this.options.pools) {
      const names = await this.images.names(pool, '');
      for (const image of names.filter((name) => name.startsWith(BASE_PREFIX)))
        if (await this.#expire({ pool, namespace: '', image }, maxAgeMs)) removed.push(image);
    }
    return removed;
  }

  async #expire(base: RbdImage, maxAgeMs: number): Promise<boolean> {
    const info = await this.images.info(base);
    if (info === undefined) return false;
    const { [USED_KEY]: used, [PINNED_KEY]: pinned } = await this.#notes(base);
    const age = this.options.clock() - Number(used ?? parseTimeMs(info.create_timestamp));
    return age >= maxAgeMs && pinned !== PINNED && this.#remove(base, info);
  }

  /**
   * Renames the base first, so that no other host finds a partly removed one; if it got a clone in
   * the meantime, it gets its name back. False: it has clones.
   */
  async #remove(base: RbdImage, info: RbdInfo): Promise<boolean> {
    if ((await this.images.children(base)).length > 0) return false;
    const gone = { ...base, image: `${this.options.mark}${info.id}-gone` };
    await this.images.setAside(base, gone.image);
    try {
      return await this.images.remove(gone);
    } catch (error) {
      await this.images.rename(gone, base.image);
      if (asHostlerError(error).reason !== 'IMAGE_HAS_DEPENDANTS') throw error;
      return false;
    }
  }

  async #note(image: RbdImage, key: string): Promise<string | undefined> {
    const words = ['image-meta', 'get', ...imageWords(image), key];
    const text = await this.images.rbd
      .ask(image.pool.cluster, addressOf(image), words)
      .catch(without('IMAGE_NOT_FOUND'));
    return text?.replace(/\n$/, '');
  }

  async #notes(image: RbdImage): Promise<Readonly<Record<string, string>>> {
    const words = ['image-meta', 'list', ...imageWords(image), '--format=json'];
    return parseNotes(await this.images.rbd.ask(image.pool.cluster, addressOf(image), words));
  }

  async #write(image: RbdImage, key: string, value: string): Promise<void> {
    const words = ['image-meta', 'set', ...imageWords(image), key, value];
    await this.images.rbd.ask(image.pool.cluster, addressOf(image), words);
  }

  #imageAt(address: ImageAddress): RbdImage {
    const [name = '', id = ''] = address.slice(BASE_SCHEME.length).split('/');
    return { pool: this.#keeper(name), namespace: '', image: `${BASE_PREFIX}${id}` };
  }

  /** The base by a caller's name for it, `rbd:POOL/ID`. */
  #named(id: string, need: 'read' | 'write'): RbdImage {
    const [name = '', digits = ''] = id.slice('rbd:'.length).split('/');
    this.paths.openWhole(name, need);
    return { pool: this.#keeper(name), namespace: '', image: `${BASE_PREFIX}${digits}` };
  }

  #keeper(name: string): Pool {
    const pool = this.options.pools.find((each) => each.name === name);
    if (pool !== undefined) return pool;
    throw new HostlerError('POOL_NOT_FOUND', `no bases are kept in the pool ${name}`, { facts: { pool: name } });
  }
}
