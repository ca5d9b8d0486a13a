import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { errnoOf, systemError } from '../linux/errno.js';
import { assertNotCovered } from '../paths/covered.js';
import { procPath } from '../linux/proc-path.js';
import type { Handle } from '../../domain/ports/handles.js';
import type { NotDurable } from '../../domain/ports/targets.js';

/**
 * What a filesystem answers that syncs no folders (CIFS, some FUSE), or lets nobody open them for
 * it.
 */
const CANNOT = ['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'ENOTTY', 'EBADF', 'EISDIR', 'EACCES', 'EPERM'];

/** How the sync of a folder ended: `cannot` is no failure, its filesystem has no such thing. */
type Synced = 'synced' | { readonly how: 'cannot' | 'failed'; readonly error: unknown };

/**
 * Makes names in folders durable. One for all who do, so that what a filesystem cannot do is noted
 * once.
 */
export class FolderSync {
  readonly #noted = new Set<bigint>();

  /** @param note hears once of each filesystem that syncs no folders */
  constructor(private readonly note: (why: string) => void = () => undefined) {}

  /**
   * To be opened before the name is changed: what stands in the way of opening it fails there,
   * while nothing has happened. Fails with ROOT_UNAVAILABLE where something was mounted over it.
   * The caller closes it.
   */
  async open(folder: Handle): Promise<OpenFolder> {
    try {
      await assertNotCovered(folder);
      const file = await open(procPath({ handle: folder }), constants.O_RDONLY | constants.O_DIRECTORY);
      return new OpenFolder(file, this.#hear);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      return new OpenFolder(error, this.#hear);
    }
  }

  /** For a name that is changed already. */
  async sync(folder: OpenFolder, path: string): Promise<NotDurable | undefined> {
    const synced = await folder.sync();
    return synced === 'synced' ? undefined : notDurable(synced, path);
  }

  readonly #hear = (device: bigint, error: unknown): void => {
    if (this.#noted.has(device)) return;
    this.#noted.add(device);
    this.note(systemError(error, 'a folder cannot be synced').message);
  };
}

/** A folder that is open for its sync; or the refusal to open it. */
export class OpenFolder {
  constructor(
    private readonly file: FileHandle | Error,
    private readonly onCannot: (device: bigint, error: unknown) => void,
  ) {}

  async sync(): Promise<Synced> {
    if (this.file instanceof Error) return { how: 'cannot', error: this.file };
    try {
      await this.file.sync();
      return 'synced';
    } catch (error) {
      if (!isRefusal(error)) return { how: 'failed', error };
      this.onCannot((await this.file.stat({ bigint: true })).dev, error);
      return { how: 'cannot', error };
    }
  }

  async close(): Promise<void> {
    if (!(this.file instanceof Error)) await this.file.close();
  }
}

function notDurable({ how, error }: Exclude<Synced, 'synced'>, path: string): NotDurable {
  const { message } = systemError(error, path);
  return {
    why:
      how === 'cannot'
        ? `the filesystem syncs no folders, so the name may not survive a power cut: ${message}`
        : `the folder's sync failed after the name was changed, so it may not survive a power cut: ${message}`,
  };
}

function isRefusal(error: unknown): error is Error {
  return error instanceof Error && CANNOT.includes(errnoOf(error) ?? '');
}
