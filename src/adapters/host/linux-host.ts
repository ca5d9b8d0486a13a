import { access, readFile, realpath, stat, statfs } from 'node:fs/promises';
import { machine } from 'node:os';
import type { PathScope } from '../../domain/access/path-scope.js';
import type { ImageAddress } from '../../domain/model/address.js';
import type { Filesystem, Filesystems } from '../../domain/host/filesystem-info.js';
import type { Try } from '../../domain/host/disk-driver.js';
import type { MountEntry } from '../../domain/host/mounted.js';
import { errnoOf, systemError } from '../linux/errno.js';
import type { PathLooks } from '../gates/path-looks.js';
import { inTime } from '../gates/handles.js';
import { mountOf, readMounts } from '../linux/mounts.js';
import type { RootedPaths } from '../paths/paths.js';
import { countsOf } from '../linux/system-sizes.js';
import { procPath } from '../linux/proc-path.js';
import type { Handle } from '../../domain/ports/handles.js';

/** Facts about this host from /proc, statfs and system files. */
export class LinuxHost implements Filesystems {
  constructor(
    private readonly paths: RootedPaths,
    private readonly initiatorFile: string,
    readonly tried: Try,
    private readonly scope: PathScope,
    private readonly looks: PathLooks,
  ) {}

  get architecture(): string {
    return machine();
  }

  mounts(): Promise<readonly MountEntry[]> {
    return readMounts();
  }

  /** Paths outside the places of the caller's role are not shown to it. */
  async realPath(path: string): Promise<string | undefined> {
    const real = await this.#looked(path, (at) => realpath(at));
    return real !== undefined && this.scope.touches(real) ? real : undefined;
  }

  async deviceOf(path: string): Promise<string | undefined> {
    const found = await this.#looked(path, (at) => stat(at));
    return found?.isBlockDevice() === true ? String(found.rdev) : undefined;
  }

  /** The result of a call on a path; undefined if the call fails. Fails with ROOT_STALLED. */
  async #looked<T>(path: string, look: (path: string) => Promise<T>): Promise<T | undefined> {
    try {
      return await this.looks.ask(path, look);
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
      return undefined;
    }
  }

  /** Undefined if the file does not exist. Fails with ACCESS_DENIED, IO_ERROR, ROOT_STALLED. */
  async initiatorText(): Promise<string | undefined> {
    try {
      return await this.looks.ask(this.initiatorFile, (path) => readFile(path, 'utf8'));
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw systemError(error, this.initiatorFile);
    }
  }

  /**
   * Whether a name below the instances folder exists. Fails with ACCESS_DENIED, IO_ERROR,
   * ROOT_STALLED.
   */
  readonly exists = async (path: string): Promise<boolean> => {
    try {
      await this.looks.ask(path, (at) => access(at));
      return true;
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return false;
      throw systemError(error, path);
    }
  };

  open(address: ImageAddress): Promise<Handle> {
    return this.paths.entry(address, { follow: true, access: 'look' }).then(({ handle }) => handle);
  }

  async describe(place: Handle): Promise<Filesystem> {
    const path = procPath({ handle: place });
    const [counts, { dev }, mount] = await inTime(place, () =>
      Promise.all([
        statfs(path, { bigint: true }),
        stat(path, { bigint: true }),
        readMounts().then((mounts) => mountOf(place, mounts)),
      ]),
    );
    return {
      key: String(dev),
      counts: countsOf(counts),
      type: mount?.type ?? '',
      mountPoint: mount?.mountPoint ?? '',
      device: mount?.source ?? '',
    };
  }
}
