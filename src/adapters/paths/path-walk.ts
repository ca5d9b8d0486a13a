import type { BigIntStats } from 'node:fs';
import { isBelow } from '../../domain/model/address.js';
import { breathe } from '../../domain/model/async.js';
import { HostlerError } from '../../domain/model/errors.js';
import { closeAll } from '../linux/close-all.js';
import { errnoOf } from '../linux/errno.js';
import { RootedHandle, statOrClose } from '../gates/handles.js';
import type { FolderShelf, LentFolder } from './folder-shelf.js';
import { PRIVATE_PREFIX } from './private-folders.js';
import type { Root } from './roots.js';
import { procPath } from '../linux/proc-path.js';
import type { FileIdentity, Handle } from '../../domain/ports/handles.js';

/** The kernel's limit. */
const MAX_LINKS = 40;
const FOLDERS_AT_ONCE = 256;

/** Where a walk ended: an open folder, the name in it, and the real path of both. */
export interface Place {
  readonly root: Root;
  readonly folder: RootedHandle;
  readonly name: string;
  readonly realPath: string;
}

/** The entry at which a walk ended. */
export interface Leaf {
  readonly root: Root;
  readonly handle: RootedHandle;
  readonly stat: BigIntStats;
  readonly realPath: string;
}

/**
 * A folder of the daemon, by its real path and its identity: a mount may make it visible under
 * another path inside a root.
 */
export interface OwnFolder {
  readonly realPath: string;
  readonly identity: FileIdentity;
}

/** Folders that no walk may enter. */
export interface ReservedFolders {
  /** Closed by their real paths. */
  readonly closed: readonly string[];
  /** Closed by any path other than their own. */
  readonly own: readonly OwnFolder[];
}

/** For roots that contain no folder of the daemon. */
export const NOTHING_KEPT: ReservedFolders = { closed: [], own: [] };

interface Level {
  readonly handle: Handle;
  readonly name: string;
}

/**
 * Walks from a root's open handle, one component at a time. Links are read and followed here,
 * inside the root only, so that a rename or replacement during the walk cannot lead out of it.
 */
export class PathWalk {
  readonly #todo: string[];
  /** The folders on the way; the first is the root itself. */
  readonly #stack: Level[];
  readonly #parents: string;
  #links = 0;
  #at: string;
  #lent: LentFolder | undefined;

  constructor(
    private readonly root: Root,
    components: readonly string[],
    private readonly reserved: ReservedFolders,
    private readonly path: string,
    /** Holds folders that other walks have reached, and gets those that this walk reaches. */
    private readonly shelf?: FolderShelf,
  ) {
    this.#parents = components.slice(0, -1).join('/');
    this.#todo = [...components];
    this.#stack = [{ handle: root.handle, name: '' }];
    this.#at = root.realPath;
  }

  /** The real path that was examined last, for errors. */
  get at(): string {
    return this.#at;
  }

  /**
   * The folder and name of the last component, which is not examined itself. The caller closes the
   * folder's handle.
   */
  place(): Promise<Place> {
    return this.#toLast(async (name) => {
      const realPath = this.#at;
      // The root's own handle is shared and stays open.
      const folder =
        this.#stack.length === 1
          ? await RootedHandle.folder(this.#current(), '.', this.root.gate)
          : this.#stack.pop()?.handle;
      if (!(folder instanceof RootedHandle)) throw new HostlerError('BUG', 'a walk ended nowhere');
      return { root: this.root, folder, name, realPath };
    });
  }

  /**
   * The entry of the last component; a link itself unless `follow`. The caller closes its handle.
   */
  leaf(follow: boolean): Promise<Leaf> {
    return this.#toLast(async (name) => {
      const { gate } = this.root;
      const handle = await RootedHandle.leaf(this.#current(), name, gate);
      const stat = await statOrClose(handle);
      if (!follow || !stat.isSymbolicLink()) return { root: this.root, handle, stat, realPath: this.#at };
      await handle.close();
      // The link may lead upwards, which needs a walk through every folder.
      if (this.#lent !== undefined) await this.#walkAll(name);
      else await this.#followLink(name);
      return undefined;
    });
  }

  /**
   * Walks to the last component and follows links until `end` returns a result; `#at` is its path.
   */
  async #toLast<T>(end: (name: string) => Promise<T | undefined>): Promise<T> {
    try {
      this.#assertOwnName(this.root.realPath, this.root.identity);
      this.#takeParents();
      for (let walked = 1; ; walked += 1) {
        // A path can have two thousand folders, and their synchronous calls would block the event
        // loop.
        if (walked % FOLDERS_AT_ONCE === 0) await breathe();
        const name = this.#todo.shift();
        if (name === undefined)
          throw new HostlerError('NOT_A_FILE', `${this.path} is a folder`, { facts: { path: this.path } });
        if (name === '' || name === '.') continue;
        if (name === '..') await this.#up();
        else if (this.#todo.some((rest) => rest !== '' && rest !== '.')) await this.#down(name);
        else {
          this.#assertAllowed(name);
          const answer = await end(name);
          if (answer === undefined) continue;
          await this.#keepParents();
          return answer;
        }
      }
    } finally {
      await this.#leave(1);
    }
  }

  /** Goes directly to the folder of the last component if another walk has reached it. */
  #takeParents(): void {
    this.#lent = this.#parents === '' ? undefined : this.shelf?.take(this.root, this.#parents);
    if (this.#lent === undefined) return;
    this.#stack.push({ handle: this.#lent.handle, name: this.#parents });
    this.#todo.splice(0, this.#todo.length - 1);
  }

  /** Starts again without the shelf. */
  async #walkAll(name: string): Promise<void> {
    await this.#leave(1);
    this.#todo.unshift(...this.#parents.split('/'), name);
  }

  /** Only a folder that a walk reached without links has that path. */
  async #keepParents(): Promise<void> {
    const isAsNamed = this.#links === 0 && this.#lent === undefined && this.#stack.length > 1;
    if (this.shelf === undefined || !isAsNamed) return;
    const handle = this.#stack.pop()?.handle;
    if (handle instanceof RootedHandle) await this.shelf.put(this.root, this.#parents, handle);
  }

  async #down(name: string): Promise<void> {
    this.#assertAllowed(name);
    try {
      const handle = await RootedHandle.folder(this.#current(), name, this.root.gate);
      this.#stack.push({ handle, name });
      const { dev: device, ino: inode } = await this.root.gate.calls.stat(handle.fd);
      this.#assertOwnName(this.#at, { device, inode });
    } catch (error) {
      if (errnoOf(error) !== 'ENOTDIR' && errnoOf(error) !== 'ELOOP') throw error;
      if (!(await this.#followLink(name))) throw error;
    }
  }

  async #up(): Promise<void> {
    if (this.#stack.length === 1) throw this.#outside();
    await this.#leave(this.#stack.length - 1);
  }

  /** False if the name is not a link. */
  async #followLink(name: string): Promise<boolean> {
    const target = await this.#linkTarget(name);
    if (target === undefined) return false;
    this.#links += 1;
    if (this.#links > MAX_LINKS)
      throw new HostlerError('IMAGE_NOT_FOUND', `${this.path} leads through more than ${String(MAX_LINKS)} links`, {
        facts: { path: this.path },
      });
    this.#todo.unshift(...(target.startsWith('/') ? await this.#restart(target) : target.split('/')));
    return true;
  }

  async #linkTarget(name: string): Promise<string | undefined> {
    try {
      return await this.root.gate.calls.readlink(procPath({ handle: this.#current(), name }));
    } catch (error) {
      // Not a link, or nothing there: the caller finds out.
      if (errnoOf(error) === 'EINVAL' || errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** An absolute link starts at the root again, and must lie in it. */
  async #restart(target: string): Promise<string[]> {
    const prefix = [this.root.realPath, this.root.path].find((candidate) => isBelow(target, candidate));
    if (prefix === undefined) throw this.#outside();
    await this.#leave(1);
    return target.slice(prefix.length).split('/');
  }

  /** Closes all folders beyond this depth. */
  async #leave(depth: number): Promise<void> {
    const left = this.#stack.splice(depth);
    await closeAll(left.map(({ handle }) => handle).filter((handle) => handle !== this.#lent?.handle));
    if (left.some(({ handle }) => handle === this.#lent?.handle)) {
      await this.#lent?.giveBack();
      this.#lent = undefined;
    }
  }

  #current(): Handle {
    const top = this.#stack.at(-1);
    if (top === undefined) throw new HostlerError('BUG', 'a walk has no folder');
    return top.handle;
  }

  #realPath(name: string): string {
    return [
      this.root.realPath === '/' ? '' : this.root.realPath,
      ...this.#stack.slice(1).map((level) => level.name),
      name,
    ].join('/');
  }

  #assertAllowed(name: string): void {
    const realPath = this.#realPath(name);
    this.#at = realPath;
    if (name.startsWith(PRIVATE_PREFIX) || this.reserved.closed.some((folder) => isBelow(realPath, folder)))
      throw this.#isKept();
  }

  /**
   * A folder of the daemon that is visible under another name cannot be recognised by its path, so
   * it is recognised by its identity.
   */
  #assertOwnName(realPath: string, { device, inode }: FileIdentity): void {
    const own = this.reserved.own.find(({ identity }) => identity.device === device && identity.inode === inode);
    if (own !== undefined && own.realPath !== realPath) throw this.#isKept();
  }

  #isKept(): HostlerError {
    return new HostlerError('PATH_OUTSIDE_ROOTS', `${this.path} lies in a folder that the daemon keeps for itself`, {
      facts: { path: this.path },
    });
  }

  #outside(): HostlerError {
    return new HostlerError('PATH_OUTSIDE_ROOTS', `${this.path} leads out of its root by a link`, {
      facts: { path: this.path },
    });
  }
}
