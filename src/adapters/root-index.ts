/** Which images below a folder have backing files. Synchronous calls: it runs in a thread of its own, where it holds up nobody. */
import { closeSync, fstatSync, lstatSync, readSync, readdirSync, statSync, type BigIntStats } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { HostlerError } from '../domain/errors.js';
import { cached } from '../domain/formats/head.js';
import { detectFormat } from '../domain/formats/magic.js';
import { READERS } from '../domain/formats/readers.js';
import { PRIVATE_PREFIX } from './private-folders.js';
import { look, openToLook, sourceOf } from './sync-look.js';

/** What was changed so shortly before a look may change again within the same tick of the clock. */
const SETTLED_NS = 2_000_000_000n;
const BEAT_EVERY = 200;
/** How images begin whose backing file our readers find: qcow, qed, vmdk (three ways). */
const MARKS = ['QFI\xfb', 'QED\0', 'KDMV', 'COWD', '# Disk'];
const LONGEST_MARK = Math.max(...MARKS.map(({ length }) => length));

interface Folder {
  readonly mtimeNs: bigint;
  readonly lookedAtNs: bigint;
  readonly folders: readonly string[];
  readonly images: Map<string, Image>;
}

interface Image {
  readonly stamp: string;
  readonly settled: boolean;
  /** Absolute path; unset: it has none now. */
  readonly backing?: string;
}

export interface Dependant {
  readonly path: string;
  readonly identity: { readonly device: bigint; readonly inode: bigint };
}

export class RootIndex {
  #folders = new Map<string, Folder>();
  #looks = 0;

  /** @param beat called now and then while it works */
  constructor(
    private readonly root: string,
    private readonly closed: readonly string[],
    private readonly beat: () => void,
  ) {}

  /** Images whose backing file is this one, as it is now. */
  async dependantsOf(device: bigint, inode: bigint): Promise<Dependant[]> {
    await this.refresh();
    const found: Dependant[] = [];
    for (const [folder, { images }] of this.#folders)
      for (const [name, { backing }] of images) {
        const base = backing === undefined ? undefined : look(() => statSync(backing, { bigint: true }));
        if (base?.dev !== device || base.ino !== inode) continue;
        const path = join(folder, name);
        const own = look(() => lstatSync(path, { bigint: true }));
        if (own !== undefined) found.push({ path, identity: { device: own.dev, inode: own.ino } });
      }
    return found;
  }

  /** Folders that have not changed are not listed again; images always are looked at, for their headers can change in place. */
  async refresh(): Promise<void> {
    const before = this.#folders;
    this.#folders = new Map();
    await this.#visit(this.root, before);
  }

  async #visit(path: string, before: ReadonlyMap<string, Folder>): Promise<void> {
    this.#pulse();
    if (this.closed.includes(path)) return;
    const stat = look(() => lstatSync(path, { bigint: true }));
    if (stat?.isDirectory() !== true) return;
    const known = before.get(path);
    const unchanged =
      known?.mtimeNs === stat.mtimeNs && known.lookedAtNs - known.mtimeNs > SETTLED_NS ? known : undefined;
    const folder = unchanged === undefined ? await this.#list(path, stat, known) : await this.#again(path, unchanged);
    if (folder === undefined) return;
    this.#folders.set(path, folder);
    for (const name of folder.folders) await this.#visit(join(path, name), before);
  }

  async #list(path: string, stat: BigIntStats, known: Folder | undefined): Promise<Folder | undefined> {
    const lookedAtNs = BigInt(Date.now()) * 1_000_000n;
    const entries = look(() => readdirSync(path, { withFileTypes: true }));
    if (entries === undefined) return undefined;
    const images = new Map<string, Image>();
    for (const entry of entries) {
      if (!entry.isFile()) continue;
      const image = await this.#look(join(path, entry.name), known?.images.get(entry.name));
      if (image !== undefined) images.set(entry.name, image);
    }
    const folders = entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith(PRIVATE_PREFIX));
    return { mtimeNs: stat.mtimeNs, lookedAtNs, folders: folders.map(({ name }) => name), images };
  }

  async #again(path: string, known: Folder): Promise<Folder> {
    const images = new Map<string, Image>();
    for (const [name, image] of known.images) {
      const now = await this.#look(join(path, name), image);
      if (now !== undefined) images.set(name, now);
    }
    return { ...known, images };
  }

  /** Undefined for what is no image that could have a backing file, and will not soon be one. */
  async #look(path: string, known: Image | undefined): Promise<Image | undefined> {
    this.#pulse();
    const stat = look(() => lstatSync(path, { bigint: true }));
    if (stat?.isFile() !== true) return undefined;
    const stamp = `${String(stat.ino)} ${String(stat.mtimeNs)} ${String(stat.ctimeNs)} ${String(stat.size)}`;
    if (known?.stamp === stamp && known.settled) return known;
    const settled = BigInt(Date.now()) * 1_000_000n - stat.mtimeNs > SETTLED_NS;
    const head = await readBacking(path);
    if (head === undefined && settled) return undefined;
    return {
      stamp,
      settled,
      ...(head?.backing === undefined ? {} : { backing: resolve(dirname(path), head.backing) }),
    };
  }

  #pulse(): void {
    this.#looks += 1;
    if (this.#looks % BEAT_EVERY === 0) this.beat();
  }
}

/** Undefined when it is no container format, or none that can be read. */
async function readBacking(path: string): Promise<{ readonly backing?: string } | undefined> {
  const fd = openToLook(path);
  if (fd === undefined) return undefined;
  try {
    if (!couldNameAnother(fd)) return undefined;
    const bytes = cached(sourceOf(fd, fstatSync(fd).size));
    const format = await detectFormat(bytes);
    if (format === 'raw') return undefined;
    const { backingFile } = await READERS[format](bytes);
    return backingFile === undefined ? {} : { backing: backingFile };
  } catch (error) {
    // A broken header names nothing that could be relied on; what cannot be read may name anything.
    if (error instanceof HostlerError && error.reason === 'IMAGE_MALFORMED') return undefined;
    throw new Error(`${path} cannot be read`, { cause: error });
  } finally {
    closeSync(fd);
  }
}

/** By its first bytes; in a tree of a million files few are images. */
function couldNameAnother(fd: number): boolean {
  const first = Buffer.alloc(LONGEST_MARK);
  const length = readSync(fd, first, 0, LONGEST_MARK, 0);
  return MARKS.some((mark) => length >= mark.length && first.toString('latin1', 0, mark.length) === mark);
}
