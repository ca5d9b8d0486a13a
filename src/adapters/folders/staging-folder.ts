import { mkdir, rmdir } from 'node:fs/promises';
import { dirname } from '../../domain/model/address.js';
import type { Handle } from '../../domain/ports/handles.js';
import type { ResolvedTarget } from '../../domain/ports/targets.js';
import { asked, openFolderIn } from '../gates/handles.js';
import { procPath } from '../linux/proc-path.js';
import { PRIVATE_PREFIX, removePrivateFolder } from '../paths/private-folders.js';

const PRIVATE_MODE = 0o700;

/** The private folder of one operation beside its target, for new folders. */
export class StagingFolder {
  #removed = false;

  private constructor(
    private readonly target: ResolvedTarget,
    readonly name: string,
    readonly handle: Handle,
  ) {}

  /** Fails with system errors. */
  static async make(target: ResolvedTarget, agentId: string, operationId: string): Promise<StagingFolder> {
    const { directory } = target;
    const name = `${PRIVATE_PREFIX}${agentId}-${operationId}`;
    return asked(
      directory,
      async () => {
        const path = procPath({ handle: directory, name });
        await mkdir(path, PRIVATE_MODE);
        const handle = await openFolderIn(directory, name).catch(async (error: unknown) => {
          await rmdir(path);
          throw error;
        });
        return new StagingFolder(target, name, handle);
      },
      async (late) => {
        await late.remove();
      },
    );
  }

  /** Removes the folder and its content, once. Returns the removed paths. */
  async remove(): Promise<readonly string[]> {
    if (this.#removed) return [];
    this.#removed = true;
    const { directory, storedName } = this.target;
    try {
      return await removePrivateFolder(directory, this.name, dirname(storedName));
    } finally {
      await this.handle.close();
    }
  }
}
