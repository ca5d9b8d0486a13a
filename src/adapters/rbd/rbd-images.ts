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
/** Longer than any watch lasts, short enough that the cluster's list stays short. */
const FENCED_SECONDS = 120;
/** Removing looks at every object where the image has no map of them; `rbd` says each percent. */
const NOBODY = plainRun();

/** The address by which callers name the image. */
export function addressOf(image: RbdImage): ImageAddress {
  return rbdAddress(nameOf(image));
}

/** What can be asked of an image of a cluster, or done to it, in one step. */
export class RbdImages {
  /** Clusters that were found to clone protected snapshots only. */
  readonly #protecting = new Set<string>();

  constructor(readonly rbd: Rbd) {}

  /** Undefined when there is no such image. */
  async info(image: RbdImage): Promise<RbdInfo | undefined> {
    const text = await this.#ask(image, ['info', ...imageWords(image), '--format=json']).catch(
      without('IMAGE_NOT_FOUND'),
    );
    return text === undefined ? undefined : parseInfo(text);
  }

  /**
   * The same with the space that it takes with its snapshots. Where the cluster would have to look
   * for each object, that is as much as it can be at most: its length.
   */
  async look(image: RbdImage): Promise<{ readonly info: RbdInfo; readonly usedBytes: bigint } | undefined> {
    const given = new AbortController();
    // At once with the other question: each costs the start of a tool.
    const used = this.#usedBytes(image, given.signal);
    used.catch(() => undefined); // avoids unhandledRejection; awaited below where it is needed
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

  /** To a name that nobody else gives. Fails with IMAGE_NOT_FOUND. */
  async setAside(image: RbdImage, name: string): Promise<void> {
    await this.#ask(image, ['rename', ...imageWords(image), ...targetWords({ ...image, image: name })]);
  }

  /**
   * Fails with TARGET_EXISTS, IMAGE_NOT_FOUND. Of two hosts that give the same name in the same
   * moment `rbd` tells both that they have done it, and does it for the first (16.2, seen in one of
   * five such races): whose image still has its old name has lost.
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

  /** Also a protected one. Fails with IMAGE_HAS_DEPENDANTS. */
  async removeSnapshot(image: RbdImage, isProtected: boolean): Promise<void> {
    await this.#assertChildless(image);
    if (isProtected) await this.#ask(image, ['snap', 'unprotect', ...imageWords(image)]);
    await this.#ask(image, ['snap', 'rm', '--no-progress', ...imageWords(image)]);
  }

  /** A clone of a snapshot, which is protected where the cluster wants that. */
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
   * A clone of a snapshot that is made for it. Fails with SNAPSHOT_EXISTS, and the snapshot stays
   * when the clone fails.
   */
  async cloneNow(snapshot: RbdImage, target: RbdImage): Promise<void> {
    await this.createSnapshot(snapshot);
    if (this.#protecting.has(snapshot.pool.cluster.name)) await this.#protect(snapshot);
    await this.clone(snapshot, target);
  }

  async #protect(snapshot: RbdImage): Promise<void> {
    await this.#ask(snapshot, ['snap', 'protect', ...imageWords(snapshot)]).catch((error: unknown) => {
      // Another client makes a clone of it at the same time.
      if (!/already protected/.test(String(asHostlerError(error).cause))) throw error;
    });
  }

  /**
   * Removes an image that has a name of the daemon's, with its snapshots, and the snapshot that was
   * made for it alone. False: there was none. Fails with IMAGE_IN_USE when it is watched longer
   * than a killed client would watch it.
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
   * Shuts out the client that has an image of the daemon open: a tool of ours that was ended.
   * Otherwise its watch, and perhaps a write on its way, would outlive it by 30 s. A daemon that
   * may not shut out clients waits instead.
   */
  async fence(image: RbdImage): Promise<void> {
    const watchers = await this.watchers(image).catch(without('IMAGE_NOT_FOUND'));
    for (const address of watchers ?? [])
      await this.rbd
        .askCluster(image.pool.cluster, ['osd', 'blocklist', 'add', address, String(FENCED_SECONDS)])
        .catch(without('ACCESS_DENIED'));
  }

  /**
   * Does something that an image must not be watched for; while it is, again, as long as the watch
   * of a dead client can last.
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

  /** A base's snapshot that an overlay brought along goes with the overlay. */
  async #removeOwnSnapshot({ pool }: RbdImage, { parent }: RbdInfo): Promise<void> {
    // Another pool's may be another cluster's affair, or not ours to write.
    if (parent?.snapshot.startsWith(PRIVATE_PREFIX) !== true || parent.pool !== pool.name) return;
    const { pool_namespace: namespace, image, snapshot } = parent;
    await this.removeIdleSnapshot({ pool, namespace, image, snapshot });
  }

  /** Removes a snapshot that nobody needs; one that is needed, or gone, stays as it is. */
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

/** For what may be missing: that is no error. */
export function without(reason: Reason): (error: unknown) => undefined {
  return (error) => {
    if (asHostlerError(error).reason !== reason) throw error;
    return undefined;
  };
}
