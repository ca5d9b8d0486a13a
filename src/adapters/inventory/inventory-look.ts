/**
 * Scans a root and brings its inventory up to date. Folders are opened component by component and
 * used by their handles, so a link that replaces a folder during the scan has no effect.
 */
import { closeSync, constants, fstatSync, lstatSync, openSync, opendirSync, realpathSync, type Dir } from 'node:fs';
import { posix } from 'node:path';
import { namedBase } from '../../domain/images/backing-name.js';
import { breathe } from '../../domain/model/async.js';
import type { FileIdentity } from '../../domain/ports/handles.js';
import { errnoOf } from '../linux/errno.js';
import { within } from './files-at.js';
import { bytesOf as bytesIn, namesAsBytes } from '../linux/names-as-bytes.js';
import { O_PATH } from '../linux/proc-path.js';
import { PRIVATE_PREFIX } from '../paths/private-folders.js';
import { AtWork } from './at-work.js';
import { failed, lookAtFiles, type FileLook, type Known } from './file-look.js';
import { inodeIn } from './image-facts.js';
import type { InventoryFile } from './inventory-file.js';
import { LookThreads } from './look-threads.js';

/** For names in events, of which there are few: no worker threads. */
const HERE = { look: lookAtFiles };
/** Files that are examined before other work gets a turn. */
const SLICE = 200;
/** Rows that are written at a time: each time costs as much as a hundred rows. */
const ROWS_AT_A_TIME = 2000;
/** Maximum depth of nested folders; deeper ones are skipped. */
const MOST_FOLDERS = 256;
const NOT_LOOKED_INTO = ['lost+found'];
const FOLDER = O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW;

export interface UnseenPlace {
  readonly path: string;
  readonly why: string;
}

/** The kind of the entry with a name; `gone` stands for other kinds as well. */
type Kind = 'file' | 'folder' | 'gone' | 'unseen';

/** A tree that is looked at. */
interface Tree {
  readonly threads: LookThreads | undefined;
  readonly work: AtWork;
  /** Rows that are written at a time. */
  readonly batch: number;
  /** What has not been written yet. */
  readonly writes: (() => void)[];
  /** Folders whose files have all been looked at, and how many there are. */
  readonly ended: { readonly folder: string; readonly there: number }[];
  /** Folders with more rows than files. */
  readonly shrunk: string[];
}

/** Result for one name. */
interface Looked {
  /** Whether the name has a row after this result is written. */
  readonly there: boolean;
  readonly write?: () => void;
}

/** Watches changes in the folders that a scan reaches. */
export interface FolderWatch {
  /** Called before a folder is listed, with an open descriptor of it. */
  add(folder: string, fd: number): void;
  /** Called when a folder was removed with everything below it. */
  drop(folder: string): void;
}

/** The root itself was removed or replaced. */
export class RootGone extends Error {
  override readonly name = 'RootGone';
}

/**
 * Paths are bytes, one character each. A folder has no `/` at its end, so the path of `/` is empty.
 */
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

  /**
   * Scans everything. Fails with RootGone.
   * @param alone no names are scanned meanwhile, whose newer rows a late write would undo
   */
  async all(alone: boolean): Promise<void> {
    this.#unseen = new Map();
    this.#real.clear();
    closeSync(this.#openRoot());
    const threads = new LookThreads();
    try {
      await this.#tree(this.root, threads, alone ? ROWS_AT_A_TIME : 1);
    } finally {
      threads.end();
    }
  }

  /** Scans some names in a folder, and everything below them. Fails with RootGone. */
  async names(folder: string, names: readonly string[]): Promise<void> {
    const shown = names.filter((name) => !this.#isHidden(folder, name));
    for (let at = 0; at < shown.length; at += SLICE) {
      const slice = shown.slice(at, at + SLICE);
      const kinds = this.#inFolder(folder, (fd) => slice.map((name) => [name, this.#kind(fd, folder, name)] as const));
      if (kinds === 'unseen') return;
      const found = kinds ?? slice.map((name) => [name, 'gone'] as const);
      const of = (wanted: Kind) => found.flatMap(([name, kind]) => (kind === wanted ? [name] : []));
      this.#gone(folder, of('gone'), of('file'), of('folder'));
      await this.#now(folder, of('file'));
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

  /** Removes the rows of what the names stood for before. */
  #gone(folder: string, gone: readonly string[], files: readonly string[], folders: readonly string[]): void {
    this.file.transaction(() => {
      for (const name of [...gone, ...files]) {
        this.watch.drop(`${folder}/${name}`);
        this.file.removeTree(`${folder}/${name}`);
      }
      for (const name of [...gone, ...folders]) this.file.remove(folder, name);
    });
  }

  async #tree(top: string, threads?: LookThreads, batch = 1): Promise<void> {
    const seen = new Set<string>();
    const tree: Tree = { threads, work: new AtWork(), batch, writes: [], ended: [], shrunk: [] };
    try {
      for (const left = [top]; left.length > 0;) {
        const folder = left.pop() ?? top;
        seen.add(folder);
        const inside = await this.#listed(folder, tree);
        for (const name of inside.reverse()) left.push(`${folder}/${name}`);
      }
    } finally {
      await tree.work.all();
    }
    this.#write(tree);
    for (const folder of tree.shrunk) await this.#removeGone(folder);
    // If a folder cannot be read now, its last known state is kept.
    const kept = [...this.#unseen.keys()];
    const isKept = (folder: string) => kept.some((place) => folder === place || folder.startsWith(`${place}/`));
    const gone = this.file.foldersIn(top).filter((folder) => !seen.has(folder) && !isKept(folder));
    this.file.transaction(() => {
      for (const folder of gone) this.file.removeTree(folder);
    });
  }

  /** Begins to bring the files of a folder up to date. Returns the names of the folders in it. */
  async #listed(folder: string, tree: Tree): Promise<string[]> {
    const fd = this.#open(folder);
    if (fd === 'unseen') return [];
    const listed = fd === undefined ? undefined : this.#ask(folder, () => this.#opened(folder, fd));
    try {
      if (typeof listed === 'object') return await this.#inside(folder, listed, tree);
    } finally {
      if (typeof listed === 'object') listed.closeSync();
      if (fd !== undefined) closeSync(fd);
    }
    if (listed === undefined) {
      this.watch.drop(folder);
      this.file.transaction(() => this.file.removeTree(folder));
    }
    return [];
  }

  /**
   * Opens a folder for listing. The descriptor stays open during the listing: Node needs it to find
   * the kind of an entry if the filesystem does not list kinds, as sshfs and some XFS.
   */
  #opened(folder: string, fd: number): Dir {
    this.watch.add(folder, fd);
    return opendirSync(`/proc/self/fd/${String(fd)}`, namesAsBytes(SLICE));
  }

  /** A folder may have millions of files, so they are not collected in a list. */
  async #inside(folder: string, listed: Dir, tree: Tree): Promise<string[]> {
    const [folders, isKnown]: [string[], boolean] = [[], this.file.countIn(folder) > 0];
    // The listing itself counts as one.
    let [there, atWork] = [0, 1];
    const ended = (count: number) => {
      there += count;
      atWork -= 1;
      if (atWork === 0) tree.ended.push({ folder, there });
      if (tree.writes.length + tree.ended.length >= tree.batch) this.#write(tree);
    };
    const begin = (names: readonly string[]) => {
      atWork += 1;
      tree.work.begin(this.#slice(folder, names, isKnown, tree).then(ended));
    };
    let gone = 0;
    for (let more = true; more;) {
      const names: string[] = [];
      while (more && names.length < SLICE) {
        const entry = this.#ask(folder, () => listed.readSync());
        // Node reports an entry that was removed before its kind was known as undefined; a removed
        // folder does so without end.
        if (entry === undefined) more = ++gone <= SLICE;
        else more = entry !== null && entry !== 'unseen';
        if (entry === undefined || entry === null || entry === 'unseen') continue;
        const name = bytesIn(entry).toString('latin1');
        if (entry.isFile()) names.push(name);
        else if (entry.isDirectory() && !this.#isHidden(folder, name)) folders.push(name);
      }
      if (names.length > 0) begin(names);
      else this.beat();
      await tree.work.below(tree.threads?.width ?? 1);
      await breathe();
    }
    ended(0);
    return folders.sort();
  }

  /** Writes what has been found. */
  #write({ writes, ended, shrunk }: Pick<Tree, 'writes' | 'ended' | 'shrunk'>): void {
    const now = writes.splice(0);
    if (now.length > 0)
      this.file.transaction(() => {
        for (const write of now) write();
      });
    for (const { folder, there } of ended.splice(0)) if (this.file.countIn(folder) !== there) shrunk.push(folder);
  }

  /** For a folder with more rows than files. */
  async #removeGone(folder: string): Promise<void> {
    for (let names = this.file.namesIn(folder, '', SLICE); names.length > 0;) {
      await this.#now(folder, names);
      await breathe();
      names = this.file.namesIn(folder, names.at(-1) ?? '', SLICE);
    }
  }

  /** Examines files in this thread, and writes what is found. */
  async #now(folder: string, names: readonly string[]): Promise<void> {
    const found = { writes: [], ended: [], shrunk: [] };
    await this.#slice(folder, names, true, found);
    this.#write(found);
  }

  /** Examines files. Returns how many of these names are images when all is written. */
  async #slice(
    folder: string,
    names: readonly string[],
    isKnown: boolean,
    { threads, writes }: Pick<Tree, 'writes'> & { readonly threads?: LookThreads | undefined },
  ): Promise<number> {
    const fd = this.#open(folder);
    if (typeof fd !== 'number') return 0;
    const rows = isKnown ? this.file.stampsOf(folder, names) : new Map<string, Known>();
    const known = names.map((name) => rows.get(name));
    let found: readonly FileLook[];
    try {
      found = await (threads ?? HERE).look({ folder: fd, names, known });
    } finally {
      closeSync(fd);
    }
    let count = 0;
    for (const [at, name] of names.entries()) {
      const { there, write } = this.#written(folder, name, known[at], found[at] ?? 'gone');
      if (there) count += 1;
      if (write !== undefined) writes.push(write);
    }
    this.beat();
    return count;
  }

  /** What has to be written for one file. */
  #written(folder: string, name: string, known: Known | undefined, found: FileLook): Looked {
    if (found === 'same') return { there: true };
    if (found === 'gone')
      return { there: false, ...(known === undefined ? {} : { write: () => this.file.remove(folder, name) }) };
    if ('unseen' in found) {
      this.#unseen.set(`${folder}/${name}`, found.unseen);
      return { there: known !== undefined };
    }
    const { stamp, facts } = found;
    if (known?.facts === facts) return { there: true, write: () => this.file.restamp(folder, name, stamp) };
    const isNew = known === undefined || inodeIn(known.facts) !== inodeIn(facts);
    const base = this.#base(folder, found.base);
    return { there: true, write: () => this.file.put(folder, name, { stamp, base, facts, isNew }) };
  }

  /** The path of an image's backing file, with the links of its folder resolved. */
  #base(folder: string, backingFile: string | undefined): string | null {
    const named = backingFile === undefined ? undefined : namedBase(backingFile);
    if (named === undefined) return null;
    const path = posix.resolve(folder === '' ? '/' : folder, bytesOf(named.path));
    const [parent, name] = [posix.dirname(path), posix.basename(path)];
    let real = this.#real.get(parent);
    if (real === undefined) {
      try {
        real = realpathSync(Buffer.from(parent, 'latin1'), { encoding: 'buffer' }).toString('latin1');
      } catch {
        real = parent; // the folder does not exist, so no existing file has this path
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

  /** Opens a folder. The caller closes it. */
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

  /** Undefined if the entry is gone; an entry that cannot be examined is noted. */
  #ask<T>(path: string, work: () => T): T | 'unseen' | undefined {
    try {
      return work();
    } catch (error) {
      return this.#failed(path, error);
    }
  }

  #failed(path: string, error: unknown): 'unseen' | undefined {
    const found = failed(error);
    if (found === 'gone') return undefined;
    this.#unseen.set(path, found.unseen);
    return 'unseen';
  }
}

/** Text as its bytes, one character each. */
export function bytesOf(path: string): string {
  return Buffer.from(path).toString('latin1');
}
