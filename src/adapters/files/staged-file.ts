import type { StagedImage, ResolvedTarget, PartRequest, StagingFile, NotDurable } from '../../domain/ports/targets.js';
import type { FileRef, FileIdentity, Handle, Resolved } from '../../domain/ports/handles.js';
import { type ImageAddress, dirname } from '../../domain/model/address.js';
import { procPath } from '../linux/proc-path.js';
import { asked, toItsEnd, slowly, atLast } from '../gates/handles.js';
import { errnoOf, systemError } from '../linux/errno.js';
import { rename, rm, rmdir, lstat, open, unlink } from 'node:fs/promises';
import { sizesOf, birthOf } from '../linux/system-sizes.js';
import { OpenPart } from './open-part.js';
import { publishPart, type Publication, movePart } from './publication.js';
import { removeByNames, removePrivateFolder, privateFolderBytes } from '../paths/private-folders.js';
import { carriedTo } from '../rights/replaced-file.js';
import { modeOfNewContent } from '../linux/set-id.js';
import { constants } from 'node:fs';
import type { Root } from '../paths/roots.js';
import type { ProcessRunner } from '../process/process.js';
import type { GivenOwner } from './given-owner.js';
import type { Owners } from './owners.js';
import type { ImageLocks } from '../../domain/ports/images.js';
import type { FolderSync } from './folder-sync.js';
import type { Leftovers } from '../owned/private-walk.js';
import { isPlanted } from '../../domain/model/planted-faults.js';

export const [PART_NAME, ASIDE_NAME] = ['part', 'taken'];
export const EXPANDED_NAME = 'expanded';
const MEMBER_NAME = 'member';
/** Created to try the filesystem and removed at once, unless the daemon ends in between. */
export const PROBE_NAME = 'probe';
/** All names that a private folder may hold, except for files that a tool left there. */
export const PRIVATE_NAMES = [PART_NAME, ASIDE_NAME, EXPANDED_NAME, PROBE_NAME];
/**
 * What open or write answers for O_DIRECT on filesystems that write only through the page cache.
 */
const NO_DIRECT = ['EINVAL', 'EOPNOTSUPP', 'ENOTSUP'];
/** qemu-img's default of 0644 would let every local user read the disks of tenants. */
export const DEFAULT_MODE = 0o600;
const GROUP_BITS = 0o070;
const GROUP_SHIFT = 3;

export interface TargetPorts {
  readonly agentId: string;
  readonly roots: readonly Root[];
  readonly runner: ProcessRunner;
  readonly owners: Owners;
  readonly imageLocks: ImageLocks;
  readonly sweepLog: SweepLog;
  readonly folderSync: FolderSync;
}

/** Receives what a sweep finds but does not remove. */
export interface SweepLog {
  /** Private folders of other agents, or of earlier ids of this agent. */
  others(found: readonly Leftovers[]): void;
  failed(path: string, cause: unknown): void;
}

/**
 * A new file in a private folder beside its target, until `publish` gives it the target's name.
 * `discard` removes the folder and may be called more than once.
 */
export class StagedFile implements StagedImage {
  readonly name = PART_NAME;
  readonly #target: FileRef;
  #made: FileIdentity | undefined;
  #published = false;
  #discarded = false;
  /** What `seal` has left to `sync`. */
  #unsynced = false;
  #isEmpty = false;

  constructor(
    private readonly target: ResolvedTarget,
    private readonly folder: { readonly name: string; readonly handle: Handle; readonly inherited: boolean },
    private readonly ownership: GivenOwner,
    private readonly request: PartRequest,
    private readonly ports: TargetPorts,
  ) {
    this.#target = { handle: target.directory, name: target.name };
  }

  get handle(): Handle {
    return this.folder.handle;
  }

  get address(): ImageAddress {
    return this.target.address;
  }

  get inherited(): boolean {
    return this.folder.inherited;
  }

  async canWriteDirectly(): Promise<boolean> {
    const probe = procPath({ handle: this.handle, name: PROBE_NAME });
    try {
      await asked(this.handle, () => tryDirect(probe));
      return true;
    } catch (error) {
      if (NO_DIRECT.includes(errnoOf(error) ?? '')) return false;
      throw systemError(error, this.target.address);
    }
  }

  async adopt(name: string): Promise<void> {
    if (name === this.name) return;
    try {
      await toItsEnd(this.handle, () => rename(procPath({ handle: this.handle, name }), procPath(this)));
    } catch (error) {
      throw systemError(error, this.target.address, { ENOENT: 'PARENT_NOT_FOUND' });
    }
  }

  async truncate(lengthBytes: bigint): Promise<void> {
    await this.#withFile((file) => file.setLength(lengthBytes));
  }

  get aside(): StagingFile {
    return this.#beside(ASIDE_NAME);
  }

  get expanded(): StagingFile {
    return this.#beside(EXPANDED_NAME);
  }

  get member(): StagingFile {
    return this.#beside(MEMBER_NAME);
  }

  #beside(name: string): StagingFile {
    const ref = { handle: this.handle, name, address: this.target.address };
    const path = procPath(ref);
    const failWith = (error: unknown) => {
      throw systemError(error, this.target.address);
    };
    return {
      ...ref,
      truncate: (lengthBytes) => this.#withFile((file) => file.setLength(lengthBytes), ref),
      remove: () => slowly(this.handle, () => rm(path, { force: true })).catch(failWith),
    };
  }

  async seal(content?: 'empty'): Promise<Resolved> {
    this.#isEmpty = content === 'empty';
    return this.#withFile(async (file) => {
      const now = await file.stat();
      const old = this.request.overwrite ? await this.#existing() : undefined;
      const kept = old === undefined ? undefined : await this.#carried(old.mode);
      const { uid = old?.uid ?? Number(now.uid), gid = old?.gid ?? Number(now.gid) } = this.ownership;
      await file.setOwnerAndMode(now, { uid, gid, mode: this.ownership.mode ?? kept ?? DEFAULT_MODE });
      if (this.#isEmpty) this.#unsynced = true;
      else await file.sync();
      const stat = await file.stat();
      const { dev, ino, mtimeNs } = stat;
      this.#made = { device: dev, inode: ino };
      const { address, storedName } = this.target;
      const { handle, name: part } = this;
      return {
        storage: 'file',
        address,
        storedName,
        handle,
        name: part,
        device: dev,
        inode: ino,
        ...sizesOf(stat),
        ...birthOf(stat),
        modifyTimeNs: mtimeNs,
        writable: true,
        trusted: this.target.trusted,
      };
    });
  }

  async sync(): Promise<void> {
    if (!this.#unsynced) return;
    await this.#withFile((file) => file.sync());
    this.#unsynced = false;
  }

  async publish(): Promise<NotDurable | undefined> {
    await this.sync();
    try {
      const notDurable = await toItsEnd(this.handle, () => publishPart(this.#publication, this.ports));
      this.#published = true;
      return notDurable;
    } catch (error) {
      throw systemError(error, this.target.address, {
        EISDIR: 'NOT_A_FILE',
        ENOTEMPTY: 'NOT_A_FILE',
        ENOENT: 'PARENT_NOT_FOUND',
        ENAMETOOLONG: 'UNSUPPORTED_BY_BACKEND',
      });
    }
  }

  get #publication(): Publication {
    const { handle, name } = this;
    const { address } = this.target;
    return {
      part: { handle, name },
      target: this.#target,
      address,
      overwrite: this.request.overwrite,
      made: this.#made,
      // The space of others is reserved until their operation ends, less what is in this folder.
      named: () => (this.#isEmpty ? this.#removeEmptied() : Promise.resolve()),
    };
  }

  /**
   * Removes the private folder once the image has its name, while that is made durable. Whatever
   * is in the way here, `discard` removes it later, or reports it.
   */
  async #removeEmptied(): Promise<void> {
    try {
      if (!this.request.overwrite) await unlink(procPath(this));
      await rmdir(procPath({ handle: this.target.directory, name: this.folder.name }));
      this.#discarded = true;
    } catch {
      return; // for `discard`
    }
    await this.handle.close();
  }

  async discard(): Promise<readonly string[]> {
    if (this.#discarded) return [];
    this.#discarded = true;
    const { directory } = this.target;
    const removed = await atLast(directory, () => this.#remove());
    return this.#published ? [] : removed;
  }

  async #remove(): Promise<readonly string[]> {
    const { directory, storedName } = this.target;
    try {
      if (!this.#published && isPlanted('private-folder-left')) return [];
      return (
        (await removeByNames(directory, this.folder, PRIVATE_NAMES, dirname(storedName))) ??
        (await removePrivateFolder(directory, this.folder.name, dirname(storedName)))
      );
    } finally {
      await this.handle.close();
    }
  }

  async takenBytes(): Promise<bigint> {
    const { directory, address } = this.target;
    try {
      return (await asked(directory, () => privateFolderBytes(directory, this.folder.name))) ?? 0n;
    } catch (error) {
      throw systemError(error, address);
    }
  }

  async leave(): Promise<bigint> {
    if (this.#discarded) return 0n;
    this.#discarded = true;
    const { directory } = this.target;
    const bytes = await asked(directory, () => privateFolderBytes(directory, this.folder.name));
    await this.handle.close();
    return bytes ?? 0n;
  }

  /** Publishes by a move, for filesystems without hard links. */
  move(): Promise<void> {
    return toItsEnd(this.handle, () => movePart(this.#publication, this.ports));
  }

  /**
   * Copies the attributes beyond owner and mode from the file that is replaced. Returns the mode of
   * the new file.
   */
  async #carried(mode: number): Promise<number> {
    const { lost, groupRights } = await carriedTo(this, this.#target);
    const { address } = this.target;
    if (lost.length > 0)
      this.request.onLost?.(`the file that was ${address} had what the new one has not: ${lost.join(', ')}`);
    return groupRights === undefined
      ? mode
      : (mode & ~GROUP_BITS) | (((mode >> GROUP_SHIFT) & groupRights) << GROUP_SHIFT);
  }

  /** Owner and mode of the regular file that is to be replaced. */
  async #existing(): Promise<{ uid: number; gid: number; mode: number } | undefined> {
    const stat = await lstat(procPath(this.#target), { bigint: true }).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    });
    if (stat?.isFile() !== true) return undefined;
    return { uid: Number(stat.uid), gid: Number(stat.gid), mode: modeOfNewContent(Number(stat.mode)) };
  }

  async #withFile<T>(use: (file: OpenPart) => Promise<T>, ref: FileRef = this): Promise<T> {
    try {
      return await slowly(this.handle, () => OpenPart.with(ref, use));
    } catch (error) {
      throw systemError(error, this.target.address, { ENOENT: 'PARENT_NOT_FOUND' });
    }
  }
}

/** Fails with a system error if the filesystem does not support O_DIRECT. */
async function tryDirect(probe: string): Promise<void> {
  try {
    // An earlier attempt may have left its probe file.
    const file = await open(probe, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_DIRECT);
    await file.close();
  } finally {
    // Some filesystems create the file before they refuse.
    await rm(probe, { force: true });
  }
}
