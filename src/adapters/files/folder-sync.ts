import { constants, fsync } from 'node:fs';
import { promisify } from 'node:util';
import { errnoOf, systemError } from '../linux/errno.js';
import type { FileCalls } from '../gates/file-calls.js';
import { enteredCallsOf } from '../gates/handles.js';
import { assertNotCovered } from '../paths/covered.js';
import { procPath } from '../linux/proc-path.js';
import type { Handle } from '../../domain/ports/handles.js';
import type { NotDurable } from '../../domain/ports/targets.js';

/**
 * What open or fsync answers on filesystems that do not sync folders (CIFS, some FUSE), or do not
 * allow them to be opened.
 */
const CANNOT = ['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'ENOTTY', 'EBADF', 'EISDIR', 'EACCES', 'EPERM'];

const sync = promisify(fsync);

/**
 * How the sync of a folder ended. `cannot` is not a failure: the filesystem does not support it.
 */
type Synced = 'synced' | { readonly how: 'cannot' | 'failed'; readonly error: unknown };

/**
 * Makes names in folders durable. All callers share one instance, so that a filesystem that cannot
 * sync folders is logged once.
 */
export class FolderSync {
  readonly #noted = new Set<bigint>();

  /** @param note called once for each filesystem that cannot sync folders */
  constructor(private readonly note: (why: string) => void = () => undefined) {}

  /**
   * Opens a folder for its sync; call it before the name is changed, so that a folder that cannot
   * be opened fails while nothing has changed yet. Fails with ROOT_UNAVAILABLE if something was
   * mounted over the folder. The caller closes it.
   */
  async open(folder: Handle): Promise<OpenFolder> {
    try {
      await assertNotCovered(folder);
      const calls = enteredCallsOf(folder);
      const fd = await calls.open(procPath({ handle: folder }), constants.O_RDONLY | constants.O_DIRECTORY);
      return new OpenFolder({ fd, calls }, this.#hear);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      return new OpenFolder(error, this.#hear);
    }
  }

  /** Makes a name durable that was already changed. */
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

/** A folder that was opened for its sync, or the error of opening it. */
export class OpenFolder {
  constructor(
    private readonly file: { readonly fd: number; readonly calls: FileCalls } | Error,
    private readonly onCannot: (device: bigint, error: unknown) => void,
  ) {}

  async sync(): Promise<Synced> {
    if (this.file instanceof Error) return { how: 'cannot', error: this.file };
    const { fd, calls } = this.file;
    try {
      await sync(fd);
      return 'synced';
    } catch (error) {
      if (!isRefusal(error)) return { how: 'failed', error };
      this.onCannot((await calls.stat(fd)).dev, error);
      return { how: 'cannot', error };
    }
  }

  async close(): Promise<void> {
    if (!(this.file instanceof Error)) await this.file.calls.close(this.file.fd);
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
