import { createHash } from 'node:crypto';
import { readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { isBelow } from '../../domain/model/address.js';
import { HostlerError, asHostlerError, unsupported } from '../../domain/model/errors.js';
import type { Entry } from '../../domain/ports/handles.js';
import type {
  Generation,
  Inventory,
  InventoryChange,
  InventoryImage,
  InventoryPage,
  InventoryPlace,
  InventoryPosition,
} from '../../domain/ports/inventory.js';
import { procPath } from '../linux/proc-path.js';
import { findRoot, type Root } from '../paths/roots.js';
import { unpackFacts } from './image-facts.js';
import { bytesOf } from './inventory-look.js';
import type { StoredImage } from './inventory-file.js';
import type { Shown } from './messages.js';
import type { Region } from './region.js';
import { RootInventory, type RootInventoryOptions } from './root-inventory.js';

interface InventoriesOptions extends Pick<RootInventoryOptions, 'closed' | 'instances' | 'patienceMs' | 'failed'> {
  readonly roots: readonly Root[];
  /** The folder of the databases. */
  readonly folder: string;
}

/** The inventories of all roots of files; each is started by its first request. */
export class Inventories implements Inventory {
  readonly #roots: ReadonlyMap<string, RootInventory>;

  constructor(private readonly options: InventoriesOptions) {
    this.#roots = new Map(
      options.roots.map((root) => {
        const key = createHash('sha256').update(root.realPath).digest('hex').slice(0, 16);
        return [root.realPath, new RootInventory({ ...options, root, file: join(options.folder, `${key}.sqlite`) })];
      }),
    );
  }

  locate(entry: Entry): Pick<InventoryPlace, 'root' | 'path'> {
    const path = readlinkSync(procPath({ handle: entry.handle }));
    const found = findRoot(this.options.roots, path);
    if (found !== undefined) return { root: found.root.realPath, path };
    throw unsupported('devices have no inventory', { path: entry.address });
  }

  async page(
    place: InventoryPlace,
    from: InventoryPosition | undefined,
    limit: number,
    backedBy?: string,
  ): Promise<InventoryPage> {
    const region = regionOf(place);
    const page = await this.#of(place.root).page({
      kind: 'page',
      region,
      limit,
      ...(from === undefined ? {} : { from }),
      ...(backedBy === undefined ? {} : { backedBy: bytesOf(backedBy) }),
    });
    const { life, number } = page;
    const { images, unseen } = await this.#withOthers(place.root, region, page.images);
    const last = images.length < limit || limit === 0 ? undefined : images.at(-1);
    return {
      images: images.map((image) => imageOf(image, { life, number })),
      generation: { life, number },
      unseen: [...page.unseen.map(({ path, why }) => ({ path: textOf(path), why })), ...unseen],
      ...(last === undefined ? {} : { next: { life, number, folder: last.folder, name: last.name } }),
    };
  }

  async changes(place: InventoryPlace, since: Generation, limit: number) {
    const region = regionOf(place);
    const answer = await this.#of(place.root).changes({
      kind: 'changes',
      region,
      since,
      limit,
    });
    const { life, upTo } = answer;
    const { images: changes } = await this.#withOthers(place.root, region, answer.changes);
    return {
      changes: changes.map((each): InventoryChange => {
        const { kind } = each;
        return kind === 'removed'
          ? { kind, ...pathOf(each) }
          : { kind, ...pathOf(each), image: imageOf(each, { life, number: upTo }) };
      }),
      upTo: { life, number: upTo },
    };
  }

  async moved(root: string, from: Generation, signal: AbortSignal): Promise<void> {
    await this.#of(root).moved(from, signal);
  }

  /**
   * Rows of one root with the number of images in other roots that are backed by them, and why a
   * root could not be asked. Images in untrusted roots do not count as dependants.
   */
  async #withOthers<Row extends { readonly folder: string; readonly name: string; readonly facts: string } & Shown>(
    own: string,
    { inSight }: Region,
    rows: readonly Row[],
  ): Promise<{ readonly images: readonly Row[]; readonly unseen: InventoryPage['unseen'] }> {
    const others = this.#outermost.filter(({ realPath }) => realPath !== own);
    const paths = rows.flatMap(({ folder, name, facts }) => (facts === '' ? [] : [`${folder}/${name}`]));
    if (paths.length === 0 || others.length === 0) return { images: rows, unseen: [] };
    const counts = new Map<string, number>();
    const unseen: InventoryPage['unseen'][number][] = [];
    const ask = async ({ realPath }: Root) => {
      try {
        const found = await this.#of(realPath).dependants({ kind: 'dependants', paths, inSight });
        for (const [at, path] of paths.entries()) counts.set(path, (counts.get(path) ?? 0) + (found.counts[at] ?? 0));
      } catch (error) {
        const { reason } = asHostlerError(error);
        if (reason !== 'ROOT_STALLED' && reason !== 'ROOT_UNAVAILABLE') throw error;
        unseen.push({ path: realPath, why: reason });
      }
    };
    await Promise.all(others.map(ask));
    // An inventory also covers roots that lie below it.
    const isCounted = others.some(({ realPath }) => isBelow(own, realPath));
    const images = rows.map((row) => {
      const more = counts.get(`${row.folder}/${row.name}`) ?? 0;
      const dependants = isCounted ? Math.max(row.dependants, more) : row.dependants + more;
      return dependants === row.dependants ? row : { ...row, dependants, orphaned: false };
    });
    return { images, unseen };
  }

  /** Trusted roots that do not lie in another trusted root. */
  get #outermost(): readonly Root[] {
    const trusted = this.options.roots.filter((root) => root.trusted && root.kept !== true);
    const isIn = ({ realPath }: Root, other: Root) => realPath !== other.realPath && isBelow(realPath, other.realPath);
    return trusted.filter((root) => !trusted.some((other) => isIn(root, other)));
  }

  #of(root: string): RootInventory {
    const found = this.#roots.get(root);
    if (found === undefined) throw new HostlerError('BUG', `no inventory of ${root}`);
    return found;
  }
}

function regionOf({ path, flat, inSight }: InventoryPlace): Region {
  return { path: bytesOf(path), flat, inSight: inSight === 'all' ? 'all' : inSight.map(bytesOf) };
}

function imageOf(row: StoredImage & Shown, generation: Generation): InventoryImage {
  const { folder, name, facts, allocatedBytes, dependants, hold, orphaned } = row;
  return {
    ...pathOf(row),
    position: { ...generation, folder, name },
    facts: unpackFacts(facts),
    ...{ allocatedBytes, dependants, orphaned },
    ...(hold === undefined ? {} : { hold }),
  };
}

function pathOf({ folder, name }: { readonly folder: string; readonly name: string }) {
  const bytes = Buffer.from(`${folder}/${name}`, 'latin1');
  const path = bytes.toString();
  return Buffer.from(path).equals(bytes) ? { path } : { path, rawPath: bytes };
}

function textOf(path: string): string {
  return Buffer.from(path, 'latin1').toString();
}
