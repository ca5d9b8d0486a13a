import { lstatSync, readdirSync, type BigIntStats } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Unseen } from '../../domain/ports/changes.js';
import type { FileIdentity } from '../../domain/ports/handles.js';
import { errnoOf } from '../linux/errno.js';
import { PRIVATE_PREFIX } from '../paths/private-folders.js';
import { claimantOf, type BadFile } from './bad-files.js';
import { readNames, type Head } from './header-names.js';
import { at, bytesOf, shown } from './path-bytes.js';
import type { RootCalls } from './root-calls.js';

/**
 * A folder or file that was changed less than 2 s before a scan may change again within the same
 * tick of the clock.
 */
const SETTLED_NS = 2_000_000_000n;

/** A folder as of the last scan. */
export interface Folder {
  readonly inode: bigint;
  readonly mtimeNs: bigint;
  readonly lookedAtNs: bigint;
  readonly folders: readonly string[];
  readonly images: Map<string, Image>;
  /**
   * Files that are not images, with the time of their last change in ms: a change may turn one into
   * an image.
   */
  readonly others: ReadonlyMap<string, number>;
}

/** An image as of the last scan. */
export interface Image {
  readonly stamp: string;
  readonly settled: boolean;
  /** Absolute paths of the files that it currently needs. */
  readonly needs: readonly string[];
  /** The subset that it names relative to its folder. */
  readonly relative: readonly string[];
  /** Names of its data files, which lie in its own folder. */
  readonly extents: readonly string[];
}

/** The files of a folder, as in `Folder`. */
interface Sorted {
  readonly images: Map<string, Image>;
  readonly others: Map<string, number>;
}

/** Stands for the time of a file that could not be examined: NaN equals no time. */
const NOT_SEEN = Number.NaN;
/** mkfs creates this folder for the superuser only; it holds no images. */
const NOT_LOOKED_INTO = ['lost+found'];

/**
 * The folders of a root with their images. Each scan reads only what changed since the last one.
 * Makes synchronous calls, so it belongs in a worker thread.
 */
export class RootScan {
  #folders = new Map<string, Folder>();
  #unseen: Unseen[] = [];

  /**
   * @param root path of the root in bytes, and the folders in it that are skipped
   * @param identity identity of the root: another folder at its path is not the root
   * @param onBad called for each file that begins as an image and cannot be read as one, whenever
   * it is examined
   */
  constructor(
    private readonly root: string,
    private identity: FileIdentity,
    private readonly closed: readonly string[],
    private readonly calls: RootCalls,
    private readonly onBad: (bad: BadFile) => void,
  ) {}

  /** The folders by their paths, as of the last scan. */
  get folders(): ReadonlyMap<string, Folder> {
    return this.#folders;
  }

  /** The places that the last scan could not read. */
  get unseen(): readonly Unseen[] {
    return this.#unseen;
  }

  /**
   * Scans the current state. Unchanged folders are not listed again; files are always examined,
   * because a header can be written in place, also over a file that was not an image.
   * @param root the current identity of the root
   */
  async refresh(root = this.identity): Promise<void> {
    this.identity = root;
    const before = this.#folders;
    this.#unseen = [];
    const why = this.#absent();
    if (why !== undefined) {
      this.#unseen.push({ place: shown(this.root), why, whole: true });
      return;
    }
    this.#folders = new Map();
    await this.#visit(this.root, before);
  }

  /** Why the root itself cannot be read; undefined: it can. */
  #absent(): string | undefined {
    try {
      const { dev, ino } = lstatSync(at(this.root), { bigint: true });
      const same = dev === this.identity.device && ino === this.identity.inode;
      return same ? undefined : 'something else is there: its filesystem is not mounted, or another one is';
    } catch (error) {
      return errnoOf(error) ?? String(error);
    }
  }

  async #visit(path: string, before: ReadonlyMap<string, Folder>): Promise<void> {
    this.calls.pulse();
    if (this.closed.includes(path)) return;
    const stat = this.calls.ask(path, this.#unseen, () => lstatSync(at(path), { bigint: true }));
    const last = before.get(path);
    // If a folder cannot be read now, its last known state is kept.
    if (stat === 'unseen') {
      this.#keep(path, last, before);
      return;
    }
    if (stat?.isDirectory() !== true) return;
    const known = last?.inode === stat.ino ? last : undefined;
    const settled = known?.mtimeNs === stat.mtimeNs && known.lookedAtNs - known.mtimeNs > SETTLED_NS;
    const unchanged = settled && this.calls.holds === 'files' ? known : undefined;
    const folder = unchanged === undefined ? await this.#list(path, stat, known) : await this.#again(path, unchanged);
    if (folder === 'unseen') {
      this.#keep(path, last, before);
      return;
    }
    if (folder === undefined) return;
    this.#folders.set(path, folder);
    for (const name of folder.folders) await this.#visit(join(path, name), before);
  }

  #keep(path: string, known: Folder | undefined, before: ReadonlyMap<string, Folder>): void {
    if (known === undefined) return;
    this.#folders.set(path, known);
    for (const name of known.folders) this.#keep(join(path, name), before.get(join(path, name)), before);
  }

  async #list(path: string, stat: BigIntStats, known: Folder | undefined): Promise<Folder | 'unseen' | undefined> {
    const lookedAtNs = BigInt(Date.now()) * 1_000_000n;
    const listed = this.calls.ask(path, this.#unseen, () =>
      readdirSync(at(path), { withFileTypes: true, encoding: 'buffer' }),
    );
    if (listed === undefined || listed === 'unseen') return listed;
    const entries = listed.map((entry) => ({
      name: entry.name.toString('latin1'),
      isFile: this.calls.holds === 'files' ? entry.isFile() : entry.isBlockDevice() || entry.isSymbolicLink(),
      isDirectory: entry.isDirectory(),
    }));
    const images = new Map<string, Image>();
    const others = new Map<string, number>();
    for (const { name, isFile } of entries)
      if (isFile) await this.#file(join(path, name), name, known, { images, others });
    const folders = entries.filter((entry) => entry.isDirectory && isLookedInto(entry.name));
    return {
      inode: stat.ino,
      mtimeNs: stat.mtimeNs,
      lookedAtNs,
      folders: folders.map(({ name }) => name),
      images,
      others,
    };
  }

  /** For a folder whose names are unchanged: its images, and the other files that have changed. */
  async #again(path: string, known: Folder): Promise<Folder> {
    const images = new Map<string, Image>();
    const others = new Map<string, number>();
    for (const names of [known.images.keys(), known.others.keys()])
      for (const name of names) await this.#file(join(path, name), name, known, { images, others });
    return { ...known, images, others };
  }

  /**
   * Classifies a file. A file that was not an image is read again after a change; a new file under
   * a name also changes its time.
   */
  async #file(path: string, name: string, known: Folder | undefined, { images, others }: Sorted): Promise<void> {
    const changedMs = known?.others.get(name);
    if (changedMs !== undefined) {
      this.calls.pulse();
      const stat = this.calls.ask(path, this.#unseen, () => lstatSync(at(path)));
      if (stat === undefined) return;
      if (stat === 'unseen' || stat.ctimeMs === changedMs) {
        others.set(name, changedMs);
        return;
      }
    }
    const seen = await this.#look(path, known?.images.get(name));
    if (typeof seen === 'number') others.set(name, seen);
    else if (seen !== undefined) images.set(name, seen);
  }

  /**
   * The image, if the file is one or changed too recently to tell; otherwise the time of its last
   * change in ms. Undefined if it is gone or of another kind.
   */
  async #look(path: string, known: Image | undefined): Promise<Image | number | undefined> {
    this.calls.pulse();
    const stat = this.calls.ask(path, this.#unseen, () => this.calls.stat(path));
    if (stat === 'unseen') return known ?? NOT_SEEN;
    if (stat === undefined || !(this.calls.holds === 'files' ? stat.isFile() : stat.isBlockDevice())) return undefined;
    const stamp = `${String(stat.ino)} ${String(stat.mtimeNs)} ${String(stat.ctimeNs)} ${String(stat.size)}`;
    if (known?.stamp === stamp && known.settled) return known;
    const settled = this.calls.holds === 'files' && BigInt(Date.now()) * 1_000_000n - stat.ctimeNs > SETTLED_NS;
    const head = await this.#head(path);
    if (head === 'unseen') return known ?? NOT_SEEN;
    if (head?.bad !== undefined) this.onBad({ path: shown(path), why: head.bad, file: claimantOf(stat) });
    if (head === undefined && settled) return msOf(stat.ctimeNs);
    const { names = [], extents = [] } = head ?? {};
    const whole = (each: string) => resolve(dirname(path), bytesOf(each));
    const relative = names.filter((each) => !each.startsWith('/')).map(whole);
    return { stamp, settled, needs: names.map(whole), relative, extents: extents.map(bytesOf) };
  }

  async #head(path: string): Promise<Head | 'unseen' | undefined> {
    try {
      return await readNames(at(path), this.calls.holds === 'devices');
    } catch (error) {
      return this.calls.failed(path, this.#unseen, error);
    }
  }
}

/** Milliseconds as Node shows them in a numeric stat. */
function msOf(ns: bigint): number {
  return Number(ns / 1_000_000_000n) * 1000 + Number(ns % 1_000_000_000n) / 1_000_000;
}

function isLookedInto(name: string): boolean {
  return !name.startsWith(PRIVATE_PREFIX) && !NOT_LOOKED_INTO.includes(name);
}
