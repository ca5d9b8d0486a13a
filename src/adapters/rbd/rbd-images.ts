import { setTimeout as sleep } from 'node:timers/promises';
import { rbdAddress, type ImageAddress } from '../../domain/model/address.js';
import { HostlerError, asHostlerError } from '../../domain/model/errors.js';
import { PRIVATE_PREFIX } from '../paths/private-folders.js';
import { nameOf, type Pool, type RbdImage } from '../qemu/rbd-pool.js';
import { imageWords, poolWords, targetWords } from './rbd-args.js';
import {
  hasObjectMap,
  parseChildren,
  parseInfo,
  parseNames,
  parseSnapshots,
  parseUsedBytes,
  parseWatchers,
  type RbdInfo,
} from './rbd-output.js';
import type { Rbd } from './rbd.js';
import type { Reason } from '../../domain/model/reasons/reasons.js';
import { plainRun } from '../../domain/ports/tools.js';

const POLL_MS = 1000;
/** Longer than any watch lasts, and short enough to keep the cluster's blocklist short. */
const FENCED_SECONDS = 120;
/** Removal checks every object if the image has no object map; `rbd` reports each percent. */
const NOBODY = plainRun();

/** The address by which callers name the image. */
export function addressOf(image: RbdImage): ImageAddress {
  return rbdAddress(nameOf(image));
}

/** Single queries and actions on images of a cluster. */
export class RbdImages {
  /** Clusters that can clone only protected snapshots. */
  readonly #protecting = new Set<string>();

  constructor(readonly rbd: Rbd) {}

  /** Undefined if the image does not exist. */
  async info(image: RbdImage): Promise<RbdInfo | undefined> {
    const text = await this.#ask(image, ['info', ...imageWords(image), '--format=json']).catch(
      without('IMAGE_NOT_FOUND'),
    );
    return text === undefined ? undefined : parseInfo(text);
  }

  /**
   * The same with the space that the image and its snapshots occupy. If the cluster would have to
   * check each object, the space is the largest possible one: the image's length.
   */
  async look(image: RbdImage): Promise<{ readonly info: RbdInfo; readonly usedBytes: bigint } | undefined> {
    const given = new AbortController();
    // Runs in parallel with the other query: each costs the start of a tool.
    const used = this.#usedBytes(image, given.signal);
    used.catch(() => undefined); // avoids unhandledRejection; awaited below if it is needed
    try {
      const info = await this.info(image);
      if (info === undefined) return undefined;
      if (!hasObjectMap(info)) return { info, usedBytes: info.size };
      const usedBytes = await used;
      return usedBytes === undefined ? undefined : { info, usedBytes };
    } finally {
      given.abort(new HostlerError('CANCELLED', 'nobody waits for it'));
    }
  }

  async #usedBytes(image: RbdImage, signal: AbortSignal): Promise<bigint | undefined> {
    const words = ['du', ...imageWords(image), '--format=json'];
    const text = await this.rbd
      .ask(image.pool.cluster, addressOf(image), words, plainRun(signal))
      .catch(without('IMAGE_NOT_FOUND'));
    return text === undefined ? undefined : parseUsedBytes(text);
  }

  async watchers(image: RbdImage): Promise<string[]> {
    return parseWatchers(await this.#ask(image, ['status', ...imageWords(image), '--format=json']));
  }

  /** Clones of any snapshot of the image. */
  async children(image: RbdImage): Promise<ReturnType<typeof parseChildren>> {
    return parseChildren(await this.#ask(image, ['children', '--all', ...imageWords(image), '--format=json']));
  }

  async names(pool: Pool, namespace: string): Promise<string[]> {
    return parseNames(
      await this.rbd.ask(pool.cluster, pool.name, ['ls', ...poolWords(pool, namespace), '--format=json']),
    );
  }

  /** Renames the image to a name that no other host uses. Fails with IMAGE_NOT_FOUND. */
  async setAside(image: RbdImage, name: string): Promise<void> {
    await this.#ask(image, ['rename', ...imageWords(image), ...targetWords({ ...image, image: name })]);
  }

  /**
   * Fails with TARGET_EXISTS, IMAGE_NOT_FOUND. If two hosts give the same name at the same moment,
   * `rbd` reports success to both, but renames only the first image (16.2, seen in one of five such
   * races): a caller whose image still has its old name has lost.
   */
  async rename(image: RbdImage, name: string): Promise<void> {
    await this.setAside(image, name);
    if ((await this.info(image)) === undefined) return;
    const path = addressOf({ ...image, image: name });
    throw new HostlerError('TARGET_EXISTS', `${path} exists`, { facts: { path } });
  }

  /** Fails with SNAPSHOT_EXISTS. */
  async createSnapshot(image: RbdImage): Promise<void> {
    await this.#ask(image, ['snap', 'create', '--no-progress', ...imageWords(image)]).catch((error: unknown) => {
      if (asHostlerError(error).reason !== 'TARGET_EXISTS') throw error;
      throw new HostlerError('SNAPSHOT_EXISTS', `${addressOf(image)} exists`, { facts: { path: addressOf(image) } });
    });
  }

  /** Also removes a protected one. Fails with IMAGE_HAS_DEPENDANTS. */
  async removeSnapshot(image: RbdImage, isProtected: boolean): Promise<void> {
    await this.#assertChildless(image);
    if (isProtected) await this.#ask(image, ['snap', 'unprotect', ...imageWords(image)]);
    await this.#ask(image, ['snap', 'rm', '--no-progress', ...imageWords(image)]);
  }

  /** Clones a snapshot, and protects it first if the cluster requires that. */
  async clone(snapshot: RbdImage, target: RbdImage): Promise<void> {
    const words = ['clone', ...imageWords(snapshot), ...targetWords(target)];
    await this.#ask(snapshot, words).catch(async (error: unknown) => {
      if (!/must be protected/.test(String(asHostlerError(error).cause))) throw error;
      this.#protecting.add(snapshot.pool.cluster.name);
      await this.#protect(snapshot);
      await this.#ask(snapshot, words);
    });
  }

  /**
   * Creates a snapshot and clones it. Fails with SNAPSHOT_EXISTS; if the clone fails, the snapshot
   * stays.
   */
  async cloneNow(snapshot: RbdImage, target: RbdImage): Promise<void> {
    await this.createSnapshot(snapshot);
    if (this.#protecting.has(snapshot.pool.cluster.name)) await this.#protect(snapshot);
    await this.clone(snapshot, target);
  }

  async #protect(snapshot: RbdImage): Promise<void> {
    await this.#ask(snapshot, ['snap', 'protect', ...imageWords(snapshot)]).catch((error: unknown) => {
      // Another client is cloning it at the same time.
      if (!/already protected/.test(String(asHostlerError(error).cause))) throw error;
    });
  }

  /**
   * Removes an image with a name of the daemon, with its snapshots, and the parent snapshot that
   * was created for it alone. False: it did not exist. Fails with IMAGE_IN_USE if it is watched
   * longer than a killed client would watch it.
   */
  async remove(image: RbdImage): Promise<boolean> {
    const info = await this.info(image);
    if (info === undefined) return false;
    if (info.snapshot_count > 0) await this.#removeSnapshots(image);
    await this.untilUnwatched(image, () =>
      this.rbd.work(image.pool.cluster, addressOf(image), ['rm', ...imageWords(image)], NOBODY),
    ).catch(without('IMAGE_NOT_FOUND'));
    await this.#removeOwnSnapshot(image, info);
    return true;
  }

  /**
   * Blocklists the client that has an image of the daemon open: a tool of this daemon that was
   * ended. Otherwise its watch, and perhaps a pending write, would outlive it by 30 s. A daemon
   * without the permission to blocklist clients waits instead.
   */
  async fence(image: RbdImage): Promise<void> {
    const watchers = await this.watchers(image).catch(without('IMAGE_NOT_FOUND'));
    for (const address of watchers ?? [])
      await this.rbd
        .askCluster(image.pool.cluster, ['osd', 'blocklist', 'add', address, String(FENCED_SECONDS)])
        .catch(without('ACCESS_DENIED'));
  }

  /**
   * Runs an action for which the image must not be watched; repeats it while the image is watched,
   * as long as the watch of a dead client can last.
   */
  async untilUnwatched(image: RbdImage, act: () => Promise<void>): Promise<void> {
    const end = performance.now() + image.pool.cluster.watcherPatienceMs;
    for (;;) {
      try {
        await act();
        return;
      } catch (error) {
        if (asHostlerError(error).reason !== 'IMAGE_IN_USE' || performance.now() > end) throw error;
        await sleep(POLL_MS);
      }
    }
  }

  async #removeSnapshots(image: RbdImage): Promise<void> {
    for (const { name, protected: isProtected } of await this.snapshots(image))
      await this.removeSnapshot({ ...image, snapshot: name }, isProtected);
  }

  async snapshots(image: RbdImage): Promise<ReturnType<typeof parseSnapshots>> {
    return parseSnapshots(await this.#ask(image, ['snap', 'ls', ...imageWords(image), '--format=json']));
  }

  /** A snapshot that was created for an overlay is removed with the overlay. */
  async #removeOwnSnapshot({ pool }: RbdImage, { parent }: RbdInfo): Promise<void> {
    // The parent's pool may be in another cluster, or read-only for this daemon.
    if (parent?.snapshot.startsWith(PRIVATE_PREFIX) !== true || parent.pool !== pool.name) return;
    const { pool_namespace: namespace, image, snapshot } = parent;
    await this.removeIdleSnapshot({ pool, namespace, image, snapshot });
  }

  /** Removes a snapshot without clones; one that has clones, or is gone, is left. */
  async removeIdleSnapshot(image: RbdImage): Promise<boolean> {
    const { snapshot, ...whole } = image;
    const found = (await this.snapshots(whole).catch(without('IMAGE_NOT_FOUND')))?.find(
      ({ name }) => name === snapshot,
    );
    if (found === undefined) return false;
    const removed = this.removeSnapshot(image, found.protected).then(() => true);
    return (await removed.catch(without('IMAGE_HAS_DEPENDANTS'))) ?? false;
  }

  async #assertChildless(snapshot: RbdImage): Promise<void> {
    const words = ['children', ...imageWords(snapshot), '--format=json'];
    const found = parseChildren(await this.#ask(snapshot, words));
    if (found.length === 0) return;
    const path = addressOf(snapshot);
    const names = found.map(({ address }) => address);
    throw new HostlerError(
      'IMAGE_HAS_DEPENDANTS',
      `${path} has ${String(found.length)} clones, such as ${names[0] ?? ''}`,
      {
        facts: { path, count: String(found.length), dependants: names.slice(0, 10).join('\n') },
      },
    );
  }

  #ask(image: RbdImage, words: readonly string[]): Promise<string> {
    return this.rbd.ask(image.pool.cluster, addressOf(image), words);
  }
}

/** Ignores errors with this reason, for what may be missing. */
export function without(reason: Reason): (error: unknown) => undefined {
  return (error) => {
    if (asHostlerError(error).reason !== reason) throw error;
    return undefined;
  };
}
