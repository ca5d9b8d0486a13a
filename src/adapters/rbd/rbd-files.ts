import { setTimeout as sleep } from 'node:timers/promises';
import type { Dependants } from '../../domain/ports/changes.js';
import { HostlerError, unsupported } from '../../domain/model/errors.js';
import type { Files, ImageLocks, OpenFile } from '../../domain/ports/images.js';
import { PRIVATE_PREFIX } from '../paths/private-folders.js';
import {
  RbdHandle,
  imageNumber,
  isRbdHandle,
  poolNumber,
  rbdImage,
  type Cluster,
  type Pool,
  type RbdImage,
} from '../qemu/rbd-pool.js';
import { imageWords } from './rbd-args.js';
import { addressOf, without, type RbdImages } from './rbd-images.js';
import { parsePoolSpace, parseTimeMs } from './rbd-output.js';
import type { RbdPaths } from './rbd-paths.js';
import type { FileRef, Fingerprint, Handle, Resolved } from '../../domain/ports/handles.js';
import type { ResolvedTarget } from '../../domain/ports/targets.js';

const NS_PER_MS = 1_000_000n;
/**
 * A cluster updates an image's time once a minute at most, so the image may have changed just now.
 */
const UNKNOWN_NS = 1n << 63n;

/**
 * Creating a snapshot, on any host, opens the image for a moment; using it keeps it open longer.
 */
const LOOKS = 4;
const LOOK_AGAIN_MS = 400;

/** Interval of a cluster manager's reports; within it a new query returns the same figures. */
const REPORTS_MS = 5000;

/** Images of clusters as files. */
export class RbdFiles implements Files {
  readonly #usages = new Map<string, { readonly at: number; readonly text: Promise<string> }>();

  /** @param mark prefix of the images that this daemon keeps for itself */
  constructor(
    private readonly images: RbdImages,
    private readonly paths: RbdPaths,
    private readonly mark: string,
  ) {}

  withBytes<T>(file: Resolved): Promise<T> {
    return Promise.reject(
      unsupported(`the bytes of ${file.address} cannot be read one by one`, { path: file.address }),
    );
  }

  /**
   * Renames the image first and then removes it, so that it is always visible as a whole or not at
   * all. A crash in between leaves an image whose name marks it as being removed; the sweep of any
   * host removes it. With a trash it is moved there.
   */
  async remove({ address, directory, name }: ResolvedTarget): Promise<undefined> {
    const image = rbdImage({ handle: directory, name });
    const { cluster, trashHours } = image.pool;
    // Checked here, because rbd would move an image to the trash while a client has it open.
    await this.images.untilUnwatched(image, () => this.#assertUnwatched(image));
    if (trashHours > 0) {
      const expiry = ['--expires-at', `${String(trashHours)} hours`];
      await this.images.rbd.ask(cluster, address, ['trash', 'mv', ...imageWords(image), ...expiry]);
      return;
    }
    const info = await this.images.info(image);
    if (info === undefined)
      throw new HostlerError('IMAGE_NOT_FOUND', `${address} does not exist`, { facts: { path: address } });
    const gone = `${this.mark}${info.id}-gone`;
    await this.images.setAside(image, gone);
    try {
      await this.images.remove({ ...image, image: gone });
    } catch (error) {
      // Another client opened or cloned it at the last moment.
      await this.images.rename({ ...image, image: gone }, name);
      throw error;
    }
  }

  async #assertUnwatched(image: RbdImage): Promise<void> {
    const watchers = await this.images.watchers(image);
    if (watchers.length === 0) return;
    const path = addressOf(image);
    throw new HostlerError('IMAGE_IN_USE', `${path} is open at ${watchers.join(', ')}`, {
      facts: { path, watchers: watchers.join('\n') },
    });
  }

  refresh(file: Resolved): Promise<Resolved> {
    const { handle, name } = file;
    if (!isRbdHandle(handle)) throw new HostlerError('BUG', 'a file was taken for an image of a cluster');
    const { pool, namespace, access, image, snapshot } = handle;
    return this.paths.look(new RbdHandle(pool, namespace, access, name ?? image, snapshot), file.address);
  }

  async fingerprint(file: FileRef): Promise<Fingerprint> {
    const image = rbdImage(file);
    const info = await this.images.info(image);
    if (info === undefined)
      throw new HostlerError('IMAGE_NOT_FOUND', `${addressOf(image)} does not exist`, {
        facts: { path: addressOf(image) },
      });
    const [device, inode] = [poolNumber(image.pool), imageNumber(info.id)];
    const modifyTimeNs = BigInt(parseTimeMs(info.modify_timestamp)) * NS_PER_MS;
    const changeTimeNs = image.snapshot === undefined ? UNKNOWN_NS : modifyTimeNs;
    return { device, inode, lengthBytes: info.size, modifyTimeNs, changeTimeNs };
  }

  /** Data that a tool has written is in the cluster when the tool has ended. */
  sync(): Promise<void> {
    return Promise.resolve();
  }

  openForChange(): Promise<OpenFile> {
    return Promise.resolve({ sync: () => this.sync(), close: () => Promise.resolve() });
  }

  async allocatedBytes(file: FileRef): Promise<bigint> {
    const image = rbdImage(file);
    return (await this.images.look(image))?.usedBytes ?? 0n;
  }

  /** The space of a volume does not depend on a folder. */
  newRoom(): Promise<bigint> {
    return Promise.resolve(0n);
  }

  async freeBytes(directory: Handle): Promise<bigint> {
    if (!isRbdHandle(directory)) throw new HostlerError('BUG', 'a folder was taken for a pool');
    return (await this.space(directory.pool)).freeBytes;
  }

  /** Fails with POOL_NOT_FOUND, ROOT_STALLED. */
  async space({ cluster, name }: Pool): Promise<{ readonly usedBytes: bigint; readonly freeBytes: bigint }> {
    const space = parsePoolSpace(await this.#usage(cluster), name);
    if (space !== undefined) return space;
    throw new HostlerError('POOL_NOT_FOUND', `the cluster ${cluster.name} has no pool ${name}`, {
      facts: { pool: name },
    });
  }

  /** `ceph` takes a quarter of a second to start Python. */
  #usage(cluster: Cluster): Promise<string> {
    const known = this.#usages.get(cluster.name);
    if (known !== undefined && performance.now() - known.at < REPORTS_MS) return known.text;
    const text = this.images.rbd.askCluster(cluster, ['df', '--format=json']);
    this.#usages.set(cluster.name, { at: performance.now(), text });
    text.catch(() => this.#usages.delete(cluster.name)); // the caller awaits it
    return text;
  }
}

/** Who has an image of a cluster open: its watchers. A client that only reads leaves no trace. */
export class RbdLocks implements ImageLocks {
  constructor(private readonly images: RbdImages) {}

  holder(): Promise<undefined> {
    // The client may be on any host.
    return Promise.resolve(undefined);
  }

  holds(files: readonly FileRef[]): Promise<readonly ('none' | 'writer')[]> {
    return Promise.all(
      files.map(async (file) => {
        const image = rbdImage(file);
        if (image.snapshot !== undefined) return 'none';
        return (await this.#isWatched(image)) ? 'writer' : 'none';
      }),
    );
  }

  async #isWatched(image: RbdImage): Promise<boolean> {
    for (let looks = 1; ; looks++) {
      const watchers = await this.images.watchers(image).catch(without('IMAGE_NOT_FOUND'));
      if (watchers === undefined || watchers.length === 0) return false;
      if (looks === LOOKS) return true;
      await sleep(LOOK_AGAIN_MS);
    }
  }
}

/** Clones of an image's snapshots. */
export class RbdDependants implements Dependants {
  constructor(private readonly images: RbdImages) {}

  async of(file: Parameters<Dependants['of']>[0]): ReturnType<Dependants['of']> {
    const image = rbdImage(file);
    const { pool, namespace, image: name } = image;
    const children = await this.images.children({ pool, namespace, image: name });
    const found = children
      .filter(({ address }) => !address.includes(PRIVATE_PREFIX))
      .map(({ address, id }) => ({
        path: address,
        identity: { device: poolNumber(pool), inode: id === '' ? 0n : imageNumber(id) },
      }));
    return { known: true, found };
  }

  /** Clones identify their parents by ids, not names. */
  onName(): ReturnType<Dependants['onName']> {
    return Promise.resolve({ known: true, found: [] });
  }
}
