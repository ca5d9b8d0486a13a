import { setTimeout as sleep } from 'node:timers/promises';
import type { ImageAddress } from '../../domain/model/address.js';
import { HostlerError, asHostlerError, unsupported } from '../../domain/model/errors.js';
import { SECTOR_BYTES } from '../../domain/model/size.js';
import { PRIVATE_PREFIX } from '../paths/private-folders.js';
import type { AsideFiles, AsideFolder } from '../files/set-aside.js';
import { RbdHandle, isRbdHandle, rbdImage, type Pool, type RbdImage } from '../qemu/rbd-pool.js';
import { imageWords, poolWords, resizeWords } from './rbd-args.js';
import { BASE_PREFIX } from './rbd-bases.js';
import { addressOf, without, type RbdImages } from './rbd-images.js';
import { parseNamespaces, parseTimeMs } from './rbd-output.js';
import type { RbdPaths } from './rbd-paths.js';
import type { Resolved } from '../../domain/ports/handles.js';
import type { StagingFile, StagedImage, PartRequest, ResolvedTarget, Targets } from '../../domain/ports/targets.js';

/** Suffix of the image that a target replaces, until the target has its name. */
const OLD = '-old';
/** Metadata key on the replaced image: a sweep that finds only this image renames it back. */
const NAME_KEY = 'hostler.name';
/** Delay before pools with leftovers are swept again. */
const AGAIN_MS = 60_000;
/** Delay between attempts to remove an image, such as while the cluster is unreachable. */
const OWED_MS = 5000;

export interface RbdTargetOptions {
  readonly agentId: string;
  readonly pools: readonly Pool[];
  readonly images: RbdImages;
  readonly paths: RbdPaths;
  readonly aside: AsideFolder;
  readonly clock: () => number;
  readonly log: { swept(removed: readonly string[]): void; failed(what: string, cause: unknown): void };
}

/**
 * Images are created under a private name in the same pool, and renamed when they are complete. The
 * name contains agent and operation, so that any host can find the leftovers of a daemon.
 */
export class RbdTargets implements Targets {
  constructor(private readonly options: RbdTargetOptions) {}

  async prepare(target: ResolvedTarget, request: PartRequest): Promise<StagedImage> {
    if (Object.keys(request.attributes).length > 0)
      throw unsupported('an image of a cluster has no owner or mode', { path: target.address });
    const { operationId, overwrite } = request;
    const beside = await this.options.aside.files(operationId);
    const options = { ...this.options, operationId, owe: (image: RbdImage) => this.#owe(image) };
    return new RbdPart(target, this.#partName(operationId), beside, overwrite, options);
  }

  /** The target itself may be the base of an overlay, so its snapshot is removed too. */
  async clean(target: ResolvedTarget, operationId: string): Promise<readonly string[]> {
    const { directory, name } = target;
    const part = rbdImage({ handle: directory, name: this.#partName(operationId) });
    const removed = await this.#restoreAndRemove(part);
    const snapshot = { ...part, image: name, snapshot: part.image };
    const { images } = this.options;
    return (await images.removeIdleSnapshot(snapshot)) ? [...removed, addressOf(snapshot)] : removed;
  }

  takenBytes(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async sweep(isAtWork: (operationId: string) => boolean): Promise<readonly string[]> {
    const removed: string[] = [];
    let left = false;
    for (const pool of this.options.pools) {
      if (pool.access !== 'read-write') continue;
      try {
        for (const image of await this.#privateImages(pool)) {
          if (await this.#isAbandoned(image, isAtWork)) removed.push(...(await this.#restoreAndRemove(partOf(image))));
          else left ||= !isAtWork(operationOf(image));
        }
      } catch (error) {
        // For example, the cluster is unreachable.
        this.options.log.failed(`pool ${pool.name}`, error);
        left = true;
      }
    }
    if (left) this.#sweepLater(isAtWork);
    return removed;
  }

  /**
   * Leftovers of another host may still be too recent, and a cluster may become reachable again.
   */
  #sweepLater(isAtWork: (operationId: string) => boolean): void {
    const patience = this.options.pools.map(({ cluster }) => cluster.abandonedMs);
    void (async () => {
      await sleep(Math.min(AGAIN_MS, ...patience), undefined, { ref: false });
      const removed = await this.sweep(isAtWork);
      if (removed.length > 0) this.options.log.swept(removed);
    })();
  }

  async #privateImages(pool: Pool): Promise<RbdImage[]> {
    const { rbd } = this.options.images;
    const words = ['namespace', 'ls', ...poolWords(pool, ''), '--format=json'];
    const found: RbdImage[] = [];
    for (const namespace of ['', ...parseNamespaces(await rbd.ask(pool.cluster, pool.name, words))])
      for (const name of await this.options.images.names(pool, namespace))
        if (name.startsWith(PRIVATE_PREFIX) && !name.startsWith(BASE_PREFIX))
          found.push({ pool, namespace, image: name });
    return found;
  }

  /**
   * An image of this agent is abandoned if its operation is not running; one of another host if no
   * client has it open and it is old enough.
   */
  async #isAbandoned(image: RbdImage, isAtWork: (operationId: string) => boolean): Promise<boolean> {
    const { agentId, images, clock } = this.options;
    const own = `${PRIVATE_PREFIX}${agentId}-`;
    if (image.image.startsWith(own)) return !isAtWork(partOf(image).image.slice(own.length));
    const info = await images.info(image);
    if (info === undefined) return false;
    const age = clock() - parseTimeMs(info.modify_timestamp);
    return age >= image.pool.cluster.abandonedMs && (await images.watchers(image)).length === 0;
  }

  /**
   * Removes the leftovers of an operation: a replaced image that has lost its name gets it back, an
   * unfinished image is removed.
   */
  async #restoreAndRemove(part: RbdImage): Promise<string[]> {
    const { images, agentId } = this.options;
    // A client that has one of this agent's images open is a tool of an earlier run, which has
    // ended.
    if (part.image.startsWith(`${PRIVATE_PREFIX}${agentId}-`)) await images.fence(part);
    const old = { ...part, image: `${part.image}${OLD}` };
    const removed: string[] = [];
    if ((await images.info(old)) !== undefined) {
      const name = await nameToRestore(old, this.options);
      const restored =
        name !== undefined && (await images.rename(old, name).then(() => true, without('TARGET_EXISTS')));
      if (restored !== true && (await images.remove(old))) removed.push(addressOf(old));
    }
    if (await images.remove(part)) removed.push(addressOf(part));
    return removed;
  }

  #partName(operationId: string): string {
    return `${PRIVATE_PREFIX}${this.options.agentId}-${operationId}`;
  }

  /** Removes the image in the background as soon as possible. */
  #owe(part: RbdImage): void {
    const { log } = this.options;
    void (async () => {
      for (;;) {
        await sleep(OWED_MS, undefined, { ref: false });
        // The caller has reported the first error; each round tries again.
        const removed = await this.#restoreAndRemove(part).catch(() => undefined);
        if (removed === undefined) continue;
        log.swept(removed);
        return;
      }
    })();
  }
}

/**
 * The staged image of the operation that left this image: the image itself (also one that is being
 * removed), or the image that replaced it.
 */
function partOf(image: RbdImage): RbdImage {
  return image.image.endsWith(OLD) ? { ...image, image: image.image.slice(0, -OLD.length) } : image;
}

/** The operation id at the end of a private name: ids of agents and operations contain no dash. */
function operationOf(image: RbdImage): string {
  return partOf(image).image.split('-').at(-1) ?? '';
}

async function nameToRestore(old: RbdImage, { images }: RbdTargetOptions): Promise<string | undefined> {
  const words = ['image-meta', 'get', ...imageWords(old), NAME_KEY];
  const text = await images.rbd.ask(old.pool.cluster, addressOf(old), words).catch(without('IMAGE_NOT_FOUND'));
  return text?.replace(/\n$/, '');
}

class RbdPart implements StagedImage {
  readonly handle: RbdHandle;
  readonly inherited = false;
  #published = false;
  #discarded = false;

  constructor(
    private readonly target: ResolvedTarget,
    readonly name: string,
    private readonly beside: AsideFiles,
    private readonly overwrite: boolean,
    private readonly options: RbdTargetOptions & {
      readonly operationId: string;
      readonly owe: (part: RbdImage) => void;
    },
  ) {
    if (!isRbdHandle(target.directory)) throw new HostlerError('BUG', 'a folder was taken for a pool');
    this.handle = target.directory;
  }

  get aside(): StagingFile {
    return this.beside.aside;
  }

  get expanded(): StagingFile {
    return this.beside.expanded;
  }

  get member(): StagingFile {
    return this.beside.member;
  }

  canWriteDirectly(): Promise<boolean> {
    return Promise.resolve(false);
  }

  adopt(): Promise<void> {
    const why = 'a file that another tool made cannot become an image of a cluster: it is written into one';
    return Promise.reject(unsupported(why, { path: this.target.address }));
  }

  async truncate(lengthBytes: bigint): Promise<void> {
    const { images } = this.options;
    const info = await images.info(this.#image);
    if (info?.size === lengthBytes) return;
    // qemu 7.2 fails an assertion when it reads one (block/rbd.c, qemu_rbd_co_block_status).
    if (lengthBytes % SECTOR_BYTES !== 0n)
      throw unsupported('the length of an image of a cluster is a multiple of 512 bytes', {
        path: this.target.address,
        length: String(lengthBytes),
      });
    await images.rbd.ask(this.handle.pool.cluster, this.target.address, resizeWords(this.#image, lengthBytes, true));
  }

  /** Acknowledged writes are durable in the cluster. */
  seal(content?: 'empty'): Promise<Resolved> {
    const { pool, namespace, access } = this.handle;
    return this.options.paths.look(new RbdHandle(pool, namespace, access, this.name), this.target.address, content);
  }

  sync(): Promise<void> {
    return Promise.resolve();
  }

  async publish(): Promise<undefined> {
    const { images } = this.options;
    const { address, existing } = this.target;
    if (!this.overwrite || existing === undefined) await this.#rename(address);
    else await this.#replace(address);
    this.#published = true;
    if (this.overwrite && existing !== undefined) await images.remove(this.#old);
  }

  /**
   * A pool cannot replace a name in one step: a sweep that finds the old image without the new one
   * renames the old one back.
   */
  async #replace(address: ImageAddress): Promise<void> {
    const { images } = this.options;
    const { cluster } = this.handle.pool;
    const target = { ...this.#image, image: this.target.name };
    await images.rbd.ask(cluster, address, ['image-meta', 'set', ...imageWords(target), NAME_KEY, target.image]);
    await images.setAside(target, this.#old.image);
    await this.#rename(address);
  }

  async #rename(address: ImageAddress): Promise<void> {
    await this.options.images.rename(this.#image, this.target.name).catch((error: unknown) => {
      if (asHostlerError(error).reason !== 'TARGET_EXISTS') throw error;
      throw new HostlerError('TARGET_EXISTS', `${address} exists`, { facts: { path: address } });
    });
  }

  async discard(): Promise<readonly string[]> {
    if (this.#discarded) return [];
    this.#discarded = true;
    await this.aside.remove();
    await this.expanded.remove();
    await this.member.remove();
    if (this.#published) return [];
    try {
      await this.options.images.fence(this.#image);
      return (await this.options.images.remove(this.#image)) ? [addressOf(this.#image)] : [];
    } catch (error) {
      this.options.owe(this.#image);
      throw error;
    }
  }

  /** A pool has no private folder beside the image. */
  takenBytes(): Promise<bigint> {
    return Promise.resolve(0n);
  }

  /** A tool that writes into an image cannot resume where another stopped, so nothing is kept. */
  async leave(): Promise<bigint> {
    await this.discard();
    return 0n;
  }

  get #image(): RbdImage {
    return rbdImage(this);
  }

  get #old(): RbdImage {
    return { ...this.#image, image: `${this.name}${OLD}` };
  }
}
