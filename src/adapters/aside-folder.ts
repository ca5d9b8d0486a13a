import { constants } from 'node:fs';
import { open, readdir, truncate, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { Aside } from '../domain/ports.js';
import { makeFolder } from '../file-io/make-folder.js';
import { errnoOf, systemError } from './errno.js';
import { O_PATH, procPath } from './handles.js';

/** Ends the name of a second file of an operation. */
export const EXPANDED = '-expanded';

/** Where a stranger's file is looked at that goes to a cluster or a device: those have no folder for it. */
export class AsideFolder {
  #folder: Promise<FileHandle> | undefined;
  readonly #path: string;

  /** @param stateFolder the daemon's own */
  constructor(stateFolder: string) {
    this.#path = join(stateFolder, 'aside');
  }

  async file(operationId: string): Promise<Aside> {
    const ref = { handle: await this.#open(), name: operationId };
    return {
      ...ref,
      truncate: (lengthBytes) =>
        truncate(procPath(ref), Number(lengthBytes)).catch((error: unknown) => {
          throw systemError(error, this.#path);
        }),
      remove: () => this.remove(operationId),
    };
  }

  async remove(operationId: string): Promise<void> {
    await unlink(procPath({ handle: await this.#open(), name: operationId })).catch((error: unknown) => {
      if (errnoOf(error) !== 'ENOENT') throw systemError(error, this.#path);
    });
  }

  /** What earlier lives left. */
  async sweep(isAtWork: (operationId: string) => boolean): Promise<void> {
    const names = await readdir(this.#path).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return [];
      throw error;
    });
    for (const name of names) if (!isAtWork(name.replace(EXPANDED, ''))) await this.remove(name);
  }

  #open(): Promise<FileHandle> {
    this.#folder ??= makeFolder(this.#path, 0o700)
      .then(() => open(this.#path, O_PATH | constants.O_DIRECTORY))
      .catch((error: unknown) => {
        // The next one tries again: a disk that is full now has room later.
        this.#folder = undefined;
        throw systemError(error, this.#path);
      });
    return this.#folder;
  }
}
