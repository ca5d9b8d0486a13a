import { constants } from 'node:fs';
import { open, readdir, truncate, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder } from '../../file-io/make-folder.js';
import { errnoOf, systemError } from '../linux/errno.js';
import { O_PATH, procPath } from '../linux/proc-path.js';
import type { StagingFile } from '../../domain/ports/targets.js';

/**
 * The untrusted files of an operation: the file as it arrived, its decompressed content, and the
 * member taken out of an archive.
 */
export interface AsideFiles {
  readonly aside: StagingFile;
  readonly expanded: StagingFile;
  readonly member: StagingFile;
}

/** Suffixes of the names of the second and third file. */
const [EXPANDED, MEMBER] = ['-expanded', '-member'];

/**
 * The folder in which an untrusted file is inspected if its target is a cluster or a device, where
 * no private folder exists.
 */
export class AsideFolder {
  #folder: Promise<FileHandle> | undefined;
  readonly #path: string;

  /** @param stateFolder the daemon's state folder */
  constructor(stateFolder: string) {
    this.#path = join(stateFolder, 'aside');
  }

  async files(operationId: string): Promise<AsideFiles> {
    const [aside, expanded, member] = [operationId, `${operationId}${EXPANDED}`, `${operationId}${MEMBER}`];
    return { aside: await this.#file(aside), expanded: await this.#file(expanded), member: await this.#file(member) };
  }

  async #file(name: string): Promise<StagingFile> {
    const ref = { handle: await this.#open(), name };
    return {
      ...ref,
      truncate: (lengthBytes) =>
        truncate(procPath(ref), Number(lengthBytes)).catch((error: unknown) => {
          throw systemError(error, this.#path);
        }),
      remove: () => this.remove(name),
    };
  }

  async remove(name: string): Promise<void> {
    await unlink(procPath({ handle: await this.#open(), name })).catch((error: unknown) => {
      if (errnoOf(error) !== 'ENOENT') throw systemError(error, this.#path);
    });
  }

  /** Removes what earlier runs of the daemon left. */
  async sweep(isAtWork: (operationId: string) => boolean): Promise<void> {
    const names = await readdir(this.#path).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return [];
      throw error;
    });
    for (const name of names) if (!isAtWork(name.replace(EXPANDED, '').replace(MEMBER, ''))) await this.remove(name);
  }

  #open(): Promise<FileHandle> {
    this.#folder ??= makeFolder(this.#path, 0o700)
      .then(() => open(this.#path, O_PATH | constants.O_DIRECTORY))
      .catch((error: unknown) => {
        // The next call tries again: a full disk may have space by then.
        this.#folder = undefined;
        throw systemError(error, this.#path);
      });
    return this.#folder;
  }
}
