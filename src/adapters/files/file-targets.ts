import { constants } from 'node:fs';
import { lstat, mkdir, open, rename, rm, rmdir, type FileHandle } from 'node:fs/promises';
import { dirname, type ImageAddress } from '../../domain/model/address.js';
import { HostlerError } from '../../domain/model/errors.js';
import type {
  StagingFile,
  FileIdentity,
  FileRef,
  Handle,
  ImageLocks,
  NotDurable,
  StagedImage,
  PartRequest,
  Resolved,
  ResolvedTarget,
  Targets,
} from '../../domain/ports/images.js';
import { errnoOf, systemError } from '../linux/errno.js';
import { asked, atLast, openFolderIn, slowly, toItsEnd } from '../gates/handles.js';
import type { FolderSync } from './folder-sync.js';
import { movePart, publishPart, type Publication } from './publication.js';
import type { Owners } from './owners.js';
import { countIn, walkPrivateFolders, type Leftovers } from '../owned/private-walk.js';
import { PRIVATE_PREFIX, privateFolderBytes, removeByNames, removePrivateFolder } from '../paths/private-folders.js';
import type { ProcessRunner } from '../process/process.js';
import type { Root } from '../paths/roots.js';
import { carriedTo } from '../rights/replaced-file.js';
import { modeOfNewContent } from '../linux/set-id.js';
import { birthOf, sizesOf } from '../linux/system-sizes.js';
import { procPath } from '../linux/proc-path.js';

const [PART_NAME, ASIDE_NAME] = ['part', 'taken'];
const EXPANDED_NAME = 'expanded';
const MEMBER_NAME = 'member';
/** Tried out, and removed at once unless the daemon ends in between. */
const PROBE_NAME = 'probe';
/** All that a private folder holds, but for what a tool may have left there. */
const PRIVATE_NAMES = [PART_NAME, ASIDE_NAME, EXPANDED_NAME, PROBE_NAME];
/** What filesystems answer that write only through the page cache. */
const NO_DIRECT = ['EINVAL', 'EOPNOTSUPP', 'ENOTSUP'];
const PRIVATE_MODE = 0o700;
/** qemu-img's own 0644 would show tenants' disks to every local user. */
const DEFAULT_MODE = 0o600;
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

/** What a sweep finds beside what it removes. */
export interface SweepLog {
  /** Private folders of other agents, or of earlier ids of this one. */
  others(found: readonly Leftovers[]): void;
  failed(path: string, cause: unknown): void;
}

interface Ownership {
  readonly uid?: number;
  readonly gid?: number;
  readonly mode?: number;
}

/**
 * Files are made in a private folder beside their name, and get the name when they are whole and
 * durable.
 */
export class FileTargets implements Targets {
  constructor(private readonly ports: TargetPorts) {}

  async prepare(target: ResolvedTarget, request: PartRequest): Promise<StagedImage> {
    const given = await this.#ownership(target, request);
    try {
      return await asked(
        target.directory,
        () => this.#prepared(target, request, given),
        async (late) => {
          await late.discard();
        },
      );
    } catch (error) {
      throw systemError(error, target.address, { ENOENT: 'PARENT_NOT_FOUND', ENAMETOOLONG: 'UNSUPPORTED_BY_BACKEND' });
    }
  }

  async #prepared(target: ResolvedTarget, request: PartRequest, given: Ownership): Promise<StagedImage> {
    const name = this.#folderName(request.operationId);
    const inherited = await this.#takeOver(target.directory, name, request.takeOver ?? []);
    const path = procPath({ handle: target.directory, name });
    if (!inherited) await mkdir(path, PRIVATE_MODE);
    const handle = await openFolderIn(target.directory, name).catch(async (error: unknown) => {
      // What it cannot work in must not stay; what it would have taken over does.
      if (!inherited) await rmdir(path);
      throw error;
    });
    return new FilePart(target, { name, handle, inherited }, given, request, this.ports);
  }

  async clean(target: ResolvedTarget, operationId: string): Promise<readonly string[]> {
    const { directory, storedName } = target;
    return slowly(directory, () => removePrivateFolder(directory, this.#folderName(operationId), dirname(storedName)));
  }

  async takenBytes(target: ResolvedTarget, operationId: string): Promise<bigint | undefined> {
    const { directory } = target;
    return asked(directory, () => privateFolderBytes(directory, this.#folderName(operationId)));
  }

  /**
   * Of this agent's folders those that no operation is at work in go; all others are told of. One
   * that cannot be removed stops nothing.
   */
  async sweep(isAtWork: (operationId: string) => boolean): Promise<readonly string[]> {
    const { agentId, roots, sweepLog } = this.ports;
    const removed: string[] = [];
    const others = new Map<string, Leftovers>();
    await walkPrivateFolders(roots, {
      async visit(folder) {
        const { parent, name, parentPath, operationId } = folder;
        if (folder.agentId !== agentId) await countIn(others, folder);
        else if (!isAtWork(operationId))
          removed.push(...(await slowly(parent, () => removePrivateFolder(parent, name, parentPath))));
      },
      failed: (path, cause) => sweepLog.failed(path, cause),
    });
    sweepLog.others([...others.values()]);
    return removed;
  }

  /** Gives a folder of an earlier operation our name. */
  async #takeOver(directory: Handle, folderName: string, operationIds: readonly string[]): Promise<boolean> {
    for (const id of operationIds) {
      try {
        const from = procPath({ handle: directory, name: this.#folderName(id) });
        await rename(from, procPath({ handle: directory, name: folderName }));
        // Not synced: both names are known, so either may be there after a power cut.
        return true;
      } catch (error) {
        if (errnoOf(error) !== 'ENOENT') throw error;
      }
    }
    return false;
  }

  #folderName(operationId: string): string {
    return `${PRIVATE_PREFIX}${this.ports.agentId}-${operationId}`;
  }

  async #ownership({ defaults, existing }: ResolvedTarget, { attributes }: PartRequest): Promise<Ownership> {
    // An overwritten file keeps its own unless the caller says otherwise, so the root's defaults
    // are for new names only.
    const { owner, group, mode } = existing?.type === 'file' ? attributes : { ...defaults, ...attributes };
    const run = { signal: AbortSignal.timeout(60_000), onChild: () => undefined };
    return {
      ...(owner === undefined ? {} : { uid: await this.ports.owners.id('owner', owner, run, 'attributes.owner') }),
      ...(group === undefined ? {} : { gid: await this.ports.owners.id('group', group, run, 'attributes.group') }),
      ...(mode === undefined ? {} : { mode }),
    };
  }
}

class FilePart implements StagedImage {
  readonly name = PART_NAME;
  readonly #target: FileRef;
  #made: FileIdentity | undefined;
  #published = false;
  #discarded = false;

  constructor(
    private readonly target: ResolvedTarget,
    private readonly folder: { readonly name: string; readonly handle: Handle; readonly inherited: boolean },
    private readonly ownership: Ownership,
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
    await this.#withFile((file) => setLength(file, lengthBytes));
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
    const told = (error: unknown) => {
      throw systemError(error, this.target.address);
    };
    return {
      ...ref,
      truncate: (lengthBytes) => this.#withFile((file) => setLength(file, lengthBytes), ref),
      remove: () => slowly(this.handle, () => rm(path, { force: true })).catch(told),
    };
  }

  async seal(): Promise<Resolved> {
    return this.#withFile(async (file) => {
      const now = await file.stat();
      const old = this.request.overwrite ? await this.#existing() : undefined;
      const kept = old === undefined ? undefined : await this.#carried(old.mode);
      const { uid = old?.uid ?? now.uid, gid = old?.gid ?? now.gid, mode = kept ?? DEFAULT_MODE } = this.ownership;
      if (uid !== now.uid || gid !== now.gid) await file.chown(uid, gid);
      await file.chmod(mode);
      await file.sync();
      const stat = await file.stat({ bigint: true });
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

  async publish(): Promise<NotDurable | undefined> {
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
    };
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
      return (
        (await removeByNames(directory, this.folder, PRIVATE_NAMES, dirname(storedName))) ??
        (await removePrivateFolder(directory, this.folder.name, dirname(storedName)))
      );
    } finally {
      await this.handle.close();
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

  /** As where hard links are missing. */
  move(): Promise<void> {
    return toItsEnd(this.handle, () => movePart(this.#publication, this.ports));
  }

  /**
   * Takes over what the file that is to be replaced has beside owner and mode; the mode that the
   * new one gets then.
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

  async #withFile<T>(use: (file: FileHandle) => Promise<T>, ref: FileRef = this): Promise<T> {
    try {
      return await slowly(this.handle, () => withFile(ref, use));
    } catch (error) {
      throw systemError(error, this.target.address, { ENOENT: 'PARENT_NOT_FOUND' });
    }
  }
}

async function withFile<T>(ref: FileRef, use: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await open(procPath(ref), constants.O_RDWR | constants.O_NOFOLLOW);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

/** Fails with a system error where that cannot be done. */
async function tryDirect(probe: string): Promise<void> {
  try {
    // One of an earlier attempt may be there.
    const file = await open(probe, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_DIRECT);
    await file.close();
  } finally {
    // Some filesystems make the file before they refuse.
    await rm(probe, { force: true });
  }
}

async function setLength(file: FileHandle, lengthBytes: bigint): Promise<void> {
  const { size } = await file.stat({ bigint: true });
  if (size === lengthBytes) return;
  if (lengthBytes > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new HostlerError(
      'UNSUPPORTED_BY_BACKEND',
      'lengths above 2^53 bytes that are no multiple of 512 cannot be set',
    );
  }
  await file.truncate(Number(lengthBytes));
}
