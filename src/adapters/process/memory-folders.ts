import { constants } from 'node:fs';
import { access, mkdtemp, open, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { O_PATH } from '../linux/proc-path.js';
import type { Handle } from '../../domain/ports/handles.js';

const MEMORY = '/dev/shm';

/** A folder in memory, so that its files need no disk. */
export async function memoryFolder(): Promise<string> {
  return access(MEMORY, constants.W_OK).then(
    () => MEMORY,
    () => tmpdir(),
  );
}

export interface MemoryFolder {
  readonly path: string;
  readonly handle: Handle;
  /** Removes the folder with its content; closes the handle. */
  readonly remove: () => Promise<void>;
}

/**
 * Private folders with short paths for files that a tool must find by name: a key, a socket. The
 * caller that makes one removes it. Their names identify the daemon, so that the next start removes
 * folders that a killed daemon left.
 */
export class MemoryFolders {
  /** @param mark distinguishes this daemon's folders from all others */
  constructor(private readonly mark: string) {}

  async make(): Promise<MemoryFolder> {
    const path = await mkdtemp(join(await memoryFolder(), `${this.mark}-`));
    try {
      const handle = await open(path, O_PATH | constants.O_DIRECTORY);
      const remove = async () => {
        await handle.close();
        await removeAll(path);
      };
      return { path, handle, remove };
    } catch (error) {
      await removeAll(path);
      throw error;
    }
  }

  /** Call it before any folder is made. Returns the removed folders. */
  async sweep(): Promise<readonly string[]> {
    const parent = await memoryFolder();
    const names = (await readdir(parent)).filter((name) => name.startsWith(`${this.mark}-`));
    const left = names.map((name) => join(parent, name));
    for (const folder of left) await removeAll(folder);
    return left;
  }
}

async function removeAll(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}
