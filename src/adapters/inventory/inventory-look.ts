/**
 * Looks at what lies in a root and brings its inventory up to date. Folders are opened component by
 * component and used by their handles: what is replaced by a link meanwhile leads nowhere else.
 */
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  opendirSync,
  realpathSync,
  type BigIntStats,
  type Dir,
} from 'node:fs';
import { posix } from 'node:path';
import { namedBase } from '../../domain/images/backing-name.js';
import { breathe } from '../../domain/model/async.js';
import type { InventoryFacts } from '../../domain/ports/inventory.js';
import type { FileIdentity } from '../../domain/ports/handles.js';
import { errnoOf } from '../linux/errno.js';
import { O_PATH } from '../linux/proc-path.js';
import { PRIVATE_PREFIX } from '../paths/private-folders.js';
import { packFacts, readFacts } from './image-facts.js';
import type { InventoryFile, Known } from './inventory-file.js';

/** What was changed so shortly before a look may change again within the same tick of the clock. */
const SETTLED_NS = 2_000_000_000n;
/** Stands before the stamp of what is not settled. */
const UNSETTLED = '~';
/** Files looked at between two turns. */
const SLICE = 200;
/** Folders in each other; beyond that nobody looks. */
const MOST_FOLDERS = 256;
/** Gone meanwhile, or turned into something else. */
const GONE = ['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'];
const NOT_LOOKED_INTO = ['lost+found'];
const FILE = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW;
const FOLDER = O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW;

export interface UnseenPlace {
  readonly path: string;
  readonly why: string;
}

/** What stands behind a name; what is no image is `gone`. */
type Kind = 'file' | 'folder' | 'gone' | 'unseen';

/** A look at one name. */
interface Looked {
  /** Whether it has a row after what is to be written. */
  readonly there: boolean;
  readonly write?: () => void;
}

/** What follows changes of the folders that a look comes to. */
export interface FolderWatch {
  /** Called before a folder is listed, with an open descriptor of it. */
  add(folder: string, fd: number): void;
  /** A folder has gone, with all below it. */
  drop(folder: string): void;
}

/** The root itself is not there as it was. */
export class RootGone extends Error {
  override readonly name = 'RootGone';
}

/** Paths are bytes, a character each; a folder has no `/` at its end, so that of `/` is empty. */
export class InventoryLook {
  #unseen = new Map<string, string>();
  readonly #real = new Map<string, string>();

  constructor(
    private readonly root: string,
    private readonly identity: FileIdentity,
    private readonly closed: readonly string[],
    private readonly file: InventoryFile,
    private readonly watch: FolderWatch,
    /** Called now and then while it works. */
    private readonly beat: () => void,
  ) {}

  get unseen(): readonly UnseenPlace[] {
    return [...this.#unseen].map(([path, why]) => ({ path, why }));
  }

  /** Looks at everything. Fails with RootGone. */
  async all(): Promise<void> {
    this.#unseen = new Map();
    this.#real.clear();
    closeSync(this.#openRoot());
    await this.#tree(this.root);
  }

  /** Looks at some names in a folder, and at all below them. Fails with RootGone. */
  async names(folder: string, names: readonly string[]): Promise<void> {
    const shown = names.filter((name) => !this.#isHidden(folder, name));
    for (let at = 0; at < shown.length; at += SLICE) {
      const slice = shown.slice(at, at + SLICE);
      const kinds = this.#inFolder(folder, (fd) => slice.map((name) => [name, this.#kind(fd, folder, name)] as const));
      if (kinds === 'unseen') return;
      const found = kinds ?? slice.map((name) => [name, 'gone'] as const);
      const of = (wanted: Kind) => found.flatMap(([name, kind]) => (kind === wanted ? [name] : []));
      this.#gone(folder, of('gone'), of('file'), of('folder'));
      await this.#slice(folder, of('file'), true);
      this.beat();
      await breathe();
      for (const name of of('folder')) await this.#tree(`${folder}/${name}`);
    }
  }

  #kind(fd: number, folder: string, name: string): Kind {
    const stat = this.#ask(`${folder}/${name}`, () => lstatSync(within(fd, name)));
    if (stat === 'unseen') return stat;
    if (stat?.isDirectory() === true) return 'folder';
    return stat?.isFile() === true ? 'file' : 'gone';
  }

  /** What the names stood for before goes. */
  #gone(folder: string, gone: readonly string[], files: readonly string[], folders: readonly string[]): void {
    this.file.transaction(() => {
      for (const name of [...gone, ...files]) {
        this.watch.drop(`${folder}/${name}`);
        this.file.removeTree(`${folder}/${name}`);
      }
      for (const name of [...gone, ...folders]) this.file.remove(folder, name);
    });
  }

  async #tree(top: string): Promise<void> {
    const seen = new Set<string>();
    for (const left = [top]; left.length > 0;) {
      const folder = left.pop() ?? top;
      seen.add(folder);
      const inside = await this.#listed(folder);
      for (const name of inside.reverse()) left.push(`${folder}/${name}`);
    }
    // What was known of a folder that cannot be looked at now is still the best that is known.
    const kept = [...this.#unseen.keys()];
    const isKept = (folder: string) => kept.some((place) => folder === place || folder.startsWith(`${place}/`));
    const gone = this.file.foldersIn(top).filter((folder) => !seen.has(folder) && !isKept(folder));
    this.file.transaction(() => {
      for (const folder of gone) this.file.removeTree(folder);
    });
  }

  /** Brings the files of a folder up to date; the names of the folders in it. */
  async #listed(folder: string): Promise<string[]> {
    const listed = this.#inFolder(folder, (fd) => {
      this.watch.add(folder, fd);
      return opendirSync(`/proc/self/fd/${String(fd)}`, { encoding: 'latin1', bufferSize: SLICE });
    });
    if (listed === 'unseen') return [];
    if (listed === undefined) {
      this.watch.drop(folder);
      this.file.transaction(() => this.file.removeTree(folder));
      return [];
    }
    try {
      return await this.#inside(folder, listed);
    } finally {
      listed.closeSync();
    }
  }

  /** A folder may have millions of files: no list of them is made. */
  async #inside(folder: string, listed: Dir): Promise<string[]> {
    const [folders, isKnown]: [string[], boolean] = [[], this.file.countIn(folder) > 0];
    let there = 0;
    for (let more = true; more;) {
      const names: string[] = [];
      while (more && names.length < SLICE) {
        const entry = this.#ask(folder, () => listed.readSync());
        more = entry !== null && typeof entry === 'object';
        if (entry === null || typeof entry !== 'object') continue;
        if (entry.isFile()) names.push(entry.name);
        else if (entry.isDirectory() && !this.#isHidden(folder, entry.name)) folders.push(entry.name);
      }
      there += await this.#slice(folder, names, isKnown);
      this.beat();
      await breathe();
    }
    if (this.file.countIn(folder) !== there) await this.#removeGone(folder);
    return folders.sort();
  }

  /** There are more rows than files. */
  async #removeGone(folder: string): Promise<void> {
    for (let names = this.file.namesIn(folder, '', SLICE); names.length > 0;) {
      await this.#slice(folder, names, true);
      this.beat();
      await breathe();
      names = this.file.namesIn(folder, names.at(-1) ?? '', SLICE);
    }
  }

  /** Looks at files; in how many of these names there is an image then. */
  async #slice(folder: string, names: readonly string[], isKnown: boolean): Promise<number> {
    const fd = this.#open(folder);
    if (typeof fd !== 'number') return 0;
    const known = isKnown ? this.file.stampsOf(folder, names) : new Map<string, Known>();
    const looks: Looked[] = [];
    try {
      for (const name of names) looks.push(await this.#file(fd, folder, name, known.get(name)));
    } finally {
      closeSync(fd);
    }
    const writes = looks.flatMap(({ write }) => write ?? []);
    if (writes.length > 0)
      this.file.transaction(() => {
        for (const write of writes) write();
      });
    return looks.filter(({ there }) => there).length;
  }

  /** What is to be written of one file. */
  async #file(fd: number, folder: string, name: string, known: Known | undefined): Promise<Looked> {
    const [path, place] = [within(fd, name), `${folder}/${name}`];
    const gone = { there: false, ...(known === undefined ? {} : { write: () => this.file.remove(folder, name) }) };
    const unseen = { there: known !== undefined };
    if (known !== undefined && !known.stamp.startsWith(UNSETTLED)) {
      const stat = this.#ask(place, () => lstatSync(path, { bigint: true }));
      if (stat === 'unseen' || stat === undefined) return stat === undefined ? gone : unseen;
      if (!stat.isFile()) return gone;
      if (known.stamp === stampOf(stat)) return unseen;
    }
    const opened = this.#ask(place, () => openSync(path, FILE));
    if (opened === 'unseen' || opened === undefined) return opened === undefined ? gone : unseen;
    try {
      const stat = fstatSync(opened, { bigint: true });
      if (!stat.isFile()) return gone;
      return this.#changed(folder, name, known, { stat, facts: await readFacts(opened, stat) });
    } catch (error) {
      return this.#failed(place, error) === undefined ? gone : unseen;
    } finally {
      closeSync(opened);
    }
  }

  #changed(
    folder: string,
    name: string,
    known: Known | undefined,
    { stat, facts: found }: { readonly stat: BigIntStats; readonly facts: InventoryFacts },
  ): Looked {
    const [stamp, facts] = [stampOf(stat), packFacts(found)];
    if (known?.facts === facts) return { there: true, write: () => this.file.restamp(folder, name, stamp) };
    const isNew = known === undefined || inodeOf(known.stamp) !== inodeOf(stamp);
    const base = this.#base(folder, found);
    return { there: true, write: () => this.file.put(folder, name, { stamp, base, facts, isNew }) };
  }

  /** The path of what an image is backed by, through links of its folder. */
  #base(folder: string, { backingFile }: InventoryFacts): string | null {
    const named = backingFile === undefined ? undefined : namedBase(backingFile);
    if (named === undefined) return null;
    const path = posix.resolve(folder === '' ? '/' : folder, bytesOf(named.path));
    const [parent, name] = [posix.dirname(path), posix.basename(path)];
    let real = this.#real.get(parent);
    if (real === undefined) {
      try {
        real = realpathSync(Buffer.from(parent, 'latin1'), { encoding: 'buffer' }).toString('latin1');
      } catch {
        real = parent; // it is not there: nothing that is leads to it
      }
      this.#real.set(parent, real);
    }
    return `${real === '/' ? '' : real}/${name}`;
  }

  #isHidden(folder: string, name: string): boolean {
    const path = `${folder}/${name}`;
    return name.startsWith(PRIVATE_PREFIX) || NOT_LOOKED_INTO.includes(name) || this.closed.includes(path);
  }

  #openRoot(): number {
    let fd;
    try {
      fd = openSync(Buffer.from(this.root === '' ? '/' : this.root, 'latin1'), FOLDER);
    } catch (error) {
      throw new RootGone(errnoOf(error) ?? String(error));
    }
    const { dev, ino } = fstatSync(fd, { bigint: true });
    if (dev === this.identity.device && ino === this.identity.inode) return fd;
    closeSync(fd);
    throw new RootGone('something else is there: its filesystem is not mounted, or another one is');
  }

  /** An open folder; it is the caller's to close. */
  #open(folder: string): number | 'unseen' | undefined {
    const components = folder
      .slice(this.root.length + 1)
      .split('/')
      .filter(Boolean);
    if (components.length > MOST_FOLDERS) {
      this.#unseen.set(folder, `more than ${String(MOST_FOLDERS)} folders in each other`);
      return 'unseen';
    }
    let fd = this.#openRoot();
    for (const name of components) {
      const above = fd;
      const opened = this.#ask(folder, () => openSync(within(above, name), FOLDER));
      closeSync(above);
      if (typeof opened !== 'number') return opened;
      fd = opened;
    }
    return fd;
  }

  #inFolder<T>(folder: string, work: (fd: number) => T): T | 'unseen' | undefined {
    const fd = this.#open(folder);
    if (typeof fd !== 'number') return fd;
    try {
      return this.#ask(folder, () => work(fd));
    } finally {
      closeSync(fd);
    }
  }

  /** Undefined for what has gone; what cannot be asked is noted. */
  #ask<T>(path: string, work: () => T): T | 'unseen' | undefined {
    try {
      return work();
    } catch (error) {
      return this.#failed(path, error);
    }
  }

  #failed(path: string, error: unknown): 'unseen' | undefined {
    const errno = errnoOf(error);
    if (errno === undefined) throw error;
    if (GONE.includes(errno)) return undefined;
    this.#unseen.set(path, errno);
    return 'unseen';
  }
}

function within(fd: number, name: string): Buffer {
  return Buffer.from(`/proc/self/fd/${String(fd)}/${name}`, 'latin1');
}

/** Of an inode: its number first. */
function stampOf({ ino, mtimeNs, ctimeNs, size }: BigIntStats): string {
  const settled = BigInt(Date.now()) * 1_000_000n - ctimeNs > SETTLED_NS;
  return `${settled ? '' : UNSETTLED}${String(ino)} ${String(mtimeNs)} ${String(ctimeNs)} ${String(size)}`;
}

function inodeOf(stamp: string): string {
  return (stamp.split(' ')[0] ?? '').replace(UNSETTLED, '');
}

/** Text as its bytes, a character each. */
export function bytesOf(path: string): string {
  return Buffer.from(path).toString('latin1');
}
