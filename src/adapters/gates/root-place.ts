import { constants, statSync } from 'node:fs';
import { open, readlink, stat, type FileHandle } from 'node:fs/promises';
import { HostlerError } from '../../domain/model/errors.js';
import { errnoOf, systemError } from '../linux/errno.js';
import type { LocalMounts } from '../linux/local-mounts.js';
import { mountOf, readMounts } from '../linux/mounts.js';
import { O_PATH, procPath } from '../linux/proc-path.js';
import type { FileIdentity } from '../../domain/ports/handles.js';

/** The longest time until a filesystem that was unmounted and mounted again is noticed. */
const MOUNT_AGE_MS = 1000;

interface Held extends FileIdentity {
  readonly handle: FileHandle;
  readonly mountId: number;
  readonly mountPoint: string;
  readonly filesystem: string;
  readonly isLocal: () => boolean;
  /** Number of path walks that use this handle now. */
  users: number;
}

/**
 * The folder that a root's path leads to. It is held open, and replaced when another filesystem is
 * mounted there. When its filesystem was unmounted, it is not replaced: data would be written
 * beneath the mount point, where it would be hidden.
 */
export class RootPlace {
  #held: Held;
  #lookedAt = performance.now();
  #following: Promise<void> | undefined;
  /** It was where it is held, and nothing but the work that found that has run since. */
  #isHeldNow = false;

  private constructor(
    private readonly realPath: string,
    private readonly localMounts: LocalMounts,
    private readonly onFollowed: (path: string, mountPoint: string) => void,
    held: Held,
  ) {
    this.#held = held;
  }

  /** Fails if the path is not a folder. */
  static async open(
    realPath: string,
    localMounts: LocalMounts,
    onFollowed: (path: string, mountPoint: string) => void,
  ): Promise<RootPlace> {
    const held = await look(realPath, localMounts);
    return new RootPlace(realPath, localMounts, onFollowed, held);
  }

  get handle(): FileHandle {
    return this.#held.handle;
  }

  /** Mount point of the filesystem of the root. */
  get mountPoint(): string {
    return this.#held.mountPoint;
  }

  /**
   * Device number of the filesystem, as in the mount table. Roots on one filesystem answer, or
   * hang, together.
   */
  get filesystem(): string {
    return this.#held.filesystem;
  }

  get identity(): FileIdentity {
    const { device, inode } = this.#held;
    return { device, inode };
  }

  readonly isLocal = (): boolean => this.#held.isLocal();

  /** Call it before each walk from the handle. Fails with ROOT_UNAVAILABLE. */
  follow(): void | Promise<void> {
    if (!this.isLocal()) return this.#ask();
    if (this.#isHeldNow) return;
    try {
      if (this.#isHeld(statSync(this.realPath, { bigint: true }))) {
        this.#isHeldNow = true;
        // After the synchronous walks that follow directly, as those of a chain; before any event.
        process.nextTick(() => (this.#isHeldNow = false));
        return;
      }
    } catch (error) {
      throw this.#gone(error);
    }
    return this.#followOnce();
  }

  /** Keeps the handle open for a walk until the returned function is called. */
  hold(): () => void {
    const held = this.#held;
    held.users += 1;
    return () => {
      held.users -= 1;
      this.#release(held);
    };
  }

  async #ask(): Promise<void> {
    const now = await stat(this.realPath, { bigint: true }).catch((error: unknown) => {
      throw this.#gone(error);
    });
    if (!this.#isHeld(now)) await this.#followOnce();
  }

  /**
   * Whether both numbers are those of the open folder. A filesystem that is mounted again can have
   * the same numbers.
   */
  #isHeld({ dev, ino }: { readonly dev: bigint; readonly ino: bigint }): boolean {
    const { device, inode } = this.#held;
    return dev === device && ino === inode && performance.now() - this.#lookedAt < MOUNT_AGE_MS;
  }

  #followOnce(): Promise<void> {
    this.#following ??= this.#follow().finally(() => (this.#following = undefined));
    return this.#following;
  }

  async #follow(): Promise<void> {
    const now = await look(this.realPath, this.localMounts).catch((error: unknown) => {
      throw this.#gone(error);
    });
    const old = this.#held;
    const isSame = now.mountId === old.mountId && now.device === old.device && now.inode === old.inode;
    // Both mount points lie above the same path, so the shorter one is the outer one.
    if (isSame || now.mountPoint.length < old.mountPoint.length) {
      await now.handle.close();
      this.#lookedAt = isSame ? performance.now() : -Infinity;
      if (!isSame) throw this.#unavailable(`nothing is mounted at ${old.mountPoint} any more`);
    } else {
      this.#held = now;
      this.#release(old);
      this.#lookedAt = performance.now();
      this.onFollowed(this.realPath, now.mountPoint);
    }
  }

  #release(held: Held): void {
    // An O_PATH descriptor: its close waits for nothing, and cannot fail.
    if (held !== this.#held && held.users === 0) void held.handle.close();
  }

  #gone(error: unknown): HostlerError {
    // A filesystem that is mounted again may have the same numbers.
    const code = errnoOf(error);
    this.#lookedAt = -Infinity;
    if (code !== 'ENOENT' && code !== 'ENOTDIR') return systemError(error, this.realPath);
    return this.#unavailable('there is no such folder now');
  }

  #unavailable(why: string): HostlerError {
    return new HostlerError('ROOT_UNAVAILABLE', `the root ${this.realPath} is not where it was: ${why}`, {
      facts: { path: this.realPath },
      retryAfterMs: MOUNT_AGE_MS,
    });
  }
}

/** The folder at the path now. */
async function look(realPath: string, localMounts: LocalMounts): Promise<Held> {
  const handle = await open(realPath, O_PATH | constants.O_DIRECTORY);
  try {
    const { dev: device, ino: inode } = await handle.stat({ bigint: true });
    const mount = await mountOf(handle, await readMounts());
    const path = await readlink(procPath({ handle }));
    if (mount === undefined || path !== realPath)
      throw new HostlerError('ROOT_UNAVAILABLE', `${realPath} is being mounted, or leads elsewhere now: to ${path}`, {
        facts: { path: realPath },
      });
    const isLocal = await localMounts.watch(handle, realPath);
    const { id: mountId, mountPoint, device: filesystem } = mount;
    return { handle, device, inode, mountId, mountPoint, filesystem, isLocal, users: 0 };
  } catch (error) {
    await handle.close();
    throw error;
  }
}
