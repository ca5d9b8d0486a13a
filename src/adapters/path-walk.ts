import { readlink, type FileHandle } from 'node:fs/promises';
import { HostlerError } from '../domain/errors.js';
import { errnoOf } from './errno.js';
import { openFolder, procPath } from './handles.js';
import { PRIVATE_PREFIX } from './private-folders.js';
import { isBelow, type Root } from './roots.js';

/** As the kernel's own limit. */
const MAX_LINKS = 40;

/** Where a walk ended: an open folder, the name in it, and the real path of both. */
export interface Place {
  readonly root: Root;
  readonly folder: FileHandle;
  readonly name: string;
  readonly realPath: string;
}

interface Level {
  readonly handle: FileHandle;
  readonly name: string;
}

/**
 * Walks from a root's open handle, one component at a time. Links are read and followed here, inside the root only, so that
 * nothing that is renamed or replaced meanwhile can lead out of it.
 */
export class PathWalk {
  readonly #todo: string[];
  #stack: Level[] = [];
  #links = 0;

  constructor(
    private readonly root: Root,
    components: readonly string[],
    private readonly closedFolders: readonly string[],
    private readonly path: string,
  ) {
    this.#todo = [...components];
  }

  /** The folder and name of the last component. With `follow`, a link there is followed too. The folder's handle is the caller's. */
  async place(follow: boolean): Promise<Place> {
    try {
      for (;;) {
        const name = this.#todo.shift();
        if (name === undefined)
          throw new HostlerError('NOT_A_FILE', `${this.path} is a folder`, { facts: { path: this.path } });
        if (name === '' || name === '.') continue;
        if (name === '..') await this.#up();
        else if (this.#todo.some((rest) => rest !== '' && rest !== '.')) await this.#down(name);
        else if (!follow || !(await this.#followLink(name))) return await this.#arrive(name);
      }
    } finally {
      await Promise.all(this.#stack.map(({ handle }) => handle.close()));
    }
  }

  async #arrive(name: string): Promise<Place> {
    this.#assertAllowed(name);
    await this.#enterRoot();
    const realPath = this.#realPath(name);
    const folder = this.#stack.pop()?.handle;
    if (folder === undefined) throw new HostlerError('BUG', 'a walk ended nowhere');
    return { root: this.root, folder, name, realPath };
  }

  async #down(name: string): Promise<void> {
    this.#assertAllowed(name);
    await this.#enterRoot();
    try {
      this.#stack.push({ handle: await openFolder(this.#current(), name), name });
    } catch (error) {
      if (errnoOf(error) !== 'ENOTDIR' && errnoOf(error) !== 'ELOOP') throw error;
      if (!(await this.#followLink(name))) throw error;
    }
  }

  async #up(): Promise<void> {
    const left = this.#stack.pop();
    await left?.handle.close();
    if (this.#stack.length === 0) throw this.#outside();
  }

  /** False when the name is no link. */
  async #followLink(name: string): Promise<boolean> {
    await this.#enterRoot();
    const target = await readlink(procPath({ handle: this.#current(), name })).catch((error: unknown) => {
      // Not a link, or nothing there: the caller finds out.
      if (errnoOf(error) === 'EINVAL' || errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    });
    if (target === undefined) return false;
    this.#links += 1;
    if (this.#links > MAX_LINKS)
      throw new HostlerError('IMAGE_NOT_FOUND', `${this.path} leads through more than ${String(MAX_LINKS)} links`, {
        facts: { path: this.path },
      });
    this.#todo.unshift(...(target.startsWith('/') ? await this.#restart(target) : target.split('/')));
    return true;
  }

  /** An absolute link starts at the root again, and must lie in it. */
  async #restart(target: string): Promise<string[]> {
    const prefix = [this.root.realPath, this.root.path].find((candidate) => isBelow(target, candidate));
    if (prefix === undefined) throw this.#outside();
    await Promise.all(this.#stack.splice(1).map(({ handle }) => handle.close()));
    return target.slice(prefix.length).split('/');
  }

  async #enterRoot(): Promise<void> {
    if (this.#stack.length > 0) return;
    this.#stack.push({ handle: await openFolder(this.root.handle, '.'), name: '' });
  }

  #current(): FileHandle {
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
    if (name.startsWith(PRIVATE_PREFIX) || this.closedFolders.some((folder) => isBelow(realPath, folder))) {
      throw new HostlerError('PATH_OUTSIDE_ROOTS', `${this.path} lies in a folder that the daemon keeps for itself`, {
        facts: { path: this.path },
      });
    }
  }

  #outside(): HostlerError {
    return new HostlerError('PATH_OUTSIDE_ROOTS', `${this.path} leads out of its root by a link`, {
      facts: { path: this.path },
    });
  }
}
