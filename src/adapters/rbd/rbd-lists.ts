import { randomBytes } from 'node:crypto';
import type { PathScope } from '../../domain/access/path-scope.js';
import { parseRbdName, rbdAddress, type ImageAddress } from '../../domain/model/address.js';
import { HostlerError, asHostlerError } from '../../domain/model/errors.js';
import type { PoolImage, PoolList, PoolLists, PoolPlace } from '../../domain/ports/pool-lists.js';
import { PRIVATE_PREFIX } from '../paths/private-folders.js';
import { imageNumber, poolNumber, type Pool } from '../qemu/rbd-pool.js';
import { poolWords } from './rbd-args.js';
import { without } from './rbd-images.js';
import {
  parentAddress,
  parentImage,
  parseList,
  parseNamespaces,
  parseUsedBytesByImage,
  type ListedRbdImage,
} from './rbd-output.js';
import type { RbdPaths } from './rbd-paths.js';
import type { Rbd } from './rbd.js';

/** How long after its last page a list can be continued. */
const KEPT_MS = 60_000;
/** Images in all lists that are kept; the list that was used last is kept however long it is. */
const MAX_KEPT_IMAGES = 100_000;

interface Kept {
  readonly key: string;
  readonly list: PoolList;
  readonly usedMs: number;
}

/** An image with its namespace. */
type Row = ListedRbdImage & { readonly namespace: string };

/** A look at a pool that is under way, and the one that follows it if somebody waits for it. */
interface Look {
  readonly rows: Promise<readonly Row[]>;
  next?: Promise<readonly Row[]>;
}

/** Lists of pools by `rbd ls --long`. The pages of a list come from memory. */
export class RbdLists implements PoolLists {
  /** By life, in the order of their last use. */
  readonly #kept = new Map<string, Kept>();
  readonly #looks = new Map<Pool, Look>();

  /** @param clock ms, of any origin */
  constructor(
    private readonly rbd: Rbd,
    private readonly paths: Pick<RbdPaths, 'open'>,
    private readonly pools: readonly Pool[],
    private readonly scope: Pick<PathScope, 'isNamed'>,
    private readonly clock: () => number,
  ) {}

  async begin(place: PoolPlace): Promise<PoolList> {
    const pool = this.paths.open(place.pool, `rbd:${place.pool}`);
    const visible = this.pools.filter(({ roles }) => this.scope.isNamed(roles));
    const looks = new Map(visible.map((each) => [each, this.#look(each)]));
    const [rows, { clones, unseen }] = await Promise.all([looks.get(pool) ?? [], clonesIn(looks)]);
    const wanted = rows.filter(({ namespace }) => place.namespace === undefined || namespace === place.namespace);
    await this.#assertNamespace(pool, place.namespace, wanted);
    const used = new Map<string, ReadonlyMap<string, bigint>>();
    for (const namespace of new Set(wanted.map((row) => row.namespace)))
      used.set(namespace, await this.#usedBytes(pool, namespace));
    const named = wanted.filter((row) => isNameable(pool, row));
    const images = named
      .map((row) => poolImage(pool, row, used.get(row.namespace)?.get(row.image)))
      .sort((one, other) => (one.address < other.address ? -1 : 1));
    const hidden = wanted.length - named.length;
    const unnamed =
      hidden === 0 ? [] : [{ path: `rbd:${pool.name}`, why: `no address can name ${String(hidden)} of its images` }];
    return this.#keep(place, {
      ...{ life: randomBytes(8).toString('hex'), images, clones },
      unseen: [...unseen, ...unnamed],
    });
  }

  kept(place: PoolPlace, life: string): PoolList {
    this.paths.open(place.pool, `rbd:${place.pool}`);
    this.#forget();
    const found = this.#kept.get(life);
    if (found?.key !== keyOf(place))
      throw new HostlerError('GENERATION_TOO_OLD', `the list of the pool ${place.pool} is not kept any more`, {
        facts: { pool: place.pool },
      });
    return this.#keep(place, found.list);
  }

  /** Keeps a list as the one that was used last. */
  #keep(place: PoolPlace, list: PoolList): PoolList {
    this.#kept.delete(list.life);
    this.#kept.set(list.life, { key: keyOf(place), list, usedMs: this.clock() });
    this.#forget();
    setTimeout(() => {
      this.#forget();
    }, KEPT_MS).unref();
    return list;
  }

  /** Drops lists that nobody continues, and the oldest ones of too many. */
  #forget(): void {
    let [images, isNewest] = [0, true];
    for (const [life, { list, usedMs }] of [...this.#kept].reverse()) {
      images += list.images.length;
      const isTooMuch = !isNewest && images > MAX_KEPT_IMAGES;
      if (isTooMuch || this.clock() - usedMs >= KEPT_MS) this.#kept.delete(life);
      isNewest = false;
    }
  }

  /**
   * What callers made in a pool, in all its namespaces, at a moment after this call: one look that
   * is under way may have passed an image that was made since, so the next one answers all who ask
   * meanwhile.
   */
  #look(pool: Pool): Promise<readonly Row[]> {
    const running = this.#looks.get(pool);
    if (running === undefined) return this.#startLook(pool);
    const next = () => this.#startLook(pool);
    running.next ??= running.rows.then(next, next);
    return running.next;
  }

  #startLook(pool: Pool): Promise<readonly Row[]> {
    const rows = this.#rows(pool).finally(() => this.#looks.delete(pool));
    this.#looks.set(pool, { rows });
    return rows;
  }

  async #rows(pool: Pool): Promise<readonly Row[]> {
    const rows: Row[] = [];
    for (const namespace of ['', ...(await this.#namespaces(pool))]) {
      const words = ['ls', '--long', ...poolWords(pool, namespace), '--format=json'];
      // A namespace may go between the two questions.
      const text = await this.rbd.ask(pool.cluster, `rbd:${pool.name}`, words).catch(without('POOL_NOT_FOUND'));
      if (text === undefined && namespace === '') throw notFound(`rbd:${pool.name}`, pool);
      const images = text === undefined ? [] : parseList(text);
      for (const image of images) if (!image.image.startsWith(PRIVATE_PREFIX)) rows.push({ ...image, namespace });
    }
    return rows;
  }

  async #namespaces(pool: Pool): Promise<readonly string[]> {
    const words = ['namespace', 'ls', ...poolWords(pool, ''), '--format=json'];
    return parseNamespaces(await this.rbd.ask(pool.cluster, `rbd:${pool.name}`, words));
  }

  async #assertNamespace(pool: Pool, namespace: string | undefined, rows: readonly Row[]): Promise<void> {
    if (namespace === undefined || namespace === '' || rows.length > 0) return;
    if (!(await this.#namespaces(pool)).includes(namespace)) throw notFound(`rbd:${pool.name}/${namespace}`, pool);
  }

  /** By image; empty where the cluster takes too long, because it checks each object. */
  async #usedBytes(pool: Pool, namespace: string): Promise<ReadonlyMap<string, bigint>> {
    const words = ['du', ...poolWords(pool, namespace), '--format=json'];
    const text = await this.rbd.ask(pool.cluster, `rbd:${pool.name}`, words).catch(without('ROOT_STALLED'));
    return text === undefined ? new Map() : parseUsedBytesByImage(text);
  }
}

/** Clones in every pool, by their parent; a pool that cannot be asked is named. */
async function clonesIn(
  looks: ReadonlyMap<Pool, Promise<readonly Row[]>>,
): Promise<Pick<PoolList, 'clones' | 'unseen'>> {
  const clones = new Map<string, ImageAddress[]>();
  const unseen: { path: string; why: string }[] = [];
  const count = async (pool: Pool, look: Promise<readonly Row[]>) => {
    try {
      for (const row of await look) {
        const parent = parentImage(row);
        if (parent === undefined) continue;
        const known = clones.get(parent);
        if (known === undefined) clones.set(parent, [addressIn(pool, row)]);
        else known.push(addressIn(pool, row));
      }
    } catch (error) {
      unseen.push({ path: `rbd:${pool.name}`, why: asHostlerError(error).reason });
    }
  };
  await Promise.all([...looks].map(([pool, look]) => count(pool, look)));
  return { clones, unseen };
}

function poolImage(pool: Pool, row: Row, usedBytes: bigint = row.size): PoolImage {
  const parent = parentAddress(row);
  return {
    address: addressIn(pool, row),
    device: poolNumber(pool),
    inode: imageNumber(row.id),
    virtualSizeBytes: row.size,
    allocatedBytes: usedBytes,
    ...(parent === undefined ? {} : { parent }),
    held: row.lock_type !== undefined,
  };
}

function addressIn(pool: Pool, { namespace, image }: Row): ImageAddress {
  return rbdAddress({ pool: pool.name, namespace, image });
}

/** Other programs make images with names that an address would take for something else. */
function isNameable(pool: Pool, row: Row): boolean {
  const name = parseRbdName(addressIn(pool, row));
  return !('problem' in name) && name.image === row.image && name.namespace === row.namespace;
}

function keyOf({ pool, namespace }: PoolPlace): string {
  return JSON.stringify([pool, namespace]);
}

function notFound(what: string, pool: Pool): HostlerError {
  return new HostlerError('POOL_NOT_FOUND', `${what}: the cluster has no such pool or namespace`, {
    facts: { pool: pool.name },
  });
}
