import { mkdir, rename, rmdir } from 'node:fs/promises';
import { dirname } from '../../domain/model/address.js';
import { errnoOf, systemError } from '../linux/errno.js';
import { asked, openFolderIn, slowly } from '../gates/handles.js';
import { countIn, walkPrivateFolders, type Leftovers } from '../owned/private-walk.js';
import { PRIVATE_PREFIX, privateFolderBytes, removePrivateFolder } from '../paths/private-folders.js';
import { procPath } from '../linux/proc-path.js';
import type { Handle } from '../../domain/ports/handles.js';
import type { StagedImage, PartRequest, ResolvedTarget, Targets } from '../../domain/ports/targets.js';
import { givenOwner, type GivenOwner } from './given-owner.js';
import { StagedFile, type TargetPorts } from './staged-file.js';

const PRIVATE_MODE = 0o700;

/**
 * Creates files in a private folder beside the target. A file gets the target's name when it is
 * complete and durable.
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

  async #prepared(target: ResolvedTarget, request: PartRequest, given: GivenOwner): Promise<StagedImage> {
    const name = this.#folderName(request.operationId);
    const inherited = await this.#takeOver(target.directory, name, request.takeOver ?? []);
    const path = procPath({ handle: target.directory, name });
    if (!inherited) await mkdir(path, PRIVATE_MODE);
    const handle = await openFolderIn(target.directory, name).catch(async (error: unknown) => {
      // A new folder in which the operation cannot work is removed. A folder that was to be taken
      // over stays.
      if (!inherited) await rmdir(path);
      throw error;
    });
    return new StagedFile(target, { name, handle, inherited }, given, request, this.ports);
  }

  async clean(target: ResolvedTarget, operationId: string): Promise<readonly string[]> {
    const { directory, storedName } = target;
    // Removing a tree may take minutes, and no caller can reach it: the sweep does it.
    return slowly(directory, () =>
      removePrivateFolder(directory, this.#folderName(operationId), dirname(storedName), 'leave trees'),
    );
  }

  async takenBytes(target: ResolvedTarget, operationId: string): Promise<bigint | undefined> {
    const { directory } = target;
    return asked(directory, () => privateFolderBytes(directory, this.#folderName(operationId)));
  }

  /**
   * Removes this agent's private folders whose operation is not running, and logs all others. A
   * folder that cannot be removed is logged and does not end the sweep.
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

  /** Renames the folder of an earlier operation to this operation's name. */
  async #takeOver(directory: Handle, folderName: string, operationIds: readonly string[]): Promise<boolean> {
    for (const id of operationIds) {
      try {
        const from = procPath({ handle: directory, name: this.#folderName(id) });
        await rename(from, procPath({ handle: directory, name: folderName }));
        // The rename is not synced: both names are known, so either may exist after a power
        // failure.
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

  #ownership({ defaults, existing }: ResolvedTarget, { attributes }: PartRequest): Promise<GivenOwner> {
    // An overwritten file keeps its own attributes unless the caller says otherwise. The root's
    // defaults apply to new names only.
    const given = existing?.type === 'file' ? attributes : { ...defaults, ...attributes };
    return givenOwner(given, this.ports.owners);
  }
}
