import { lstat, readdir, rmdir, unlink } from 'node:fs/promises';
import { errnoOf } from '../linux/errno.js';
import { openFolder } from '../gates/handles.js';
import { sizesOf } from '../linux/system-sizes.js';
import { procPath } from '../linux/proc-path.js';
import { emptyInThread } from '../trees/tree-thread.js';
import type { Handle } from '../../domain/ports/handles.js';

/** Names of folders in which the daemon works begin with this; no caller may use such a name. */
export const PRIVATE_PREFIX = '.hostler-';

/**
 * Removes a private folder with its content, including whole trees. Returns the removed paths; for
 * a tree, only its top. Returns none if the folder does not exist, or if trees in it are to be
 * kept.
 */
export async function removePrivateFolder(
  parent: Handle,
  name: string,
  parentPath: string,
  trees?: 'leave trees',
): Promise<string[]> {
  const folder = await openFolder(parent, name).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (folder === undefined) return [];
  try {
    const entries = await readdir(procPath({ handle: folder }), { withFileTypes: true });
    const files = entries.map((entry) => entry.name);
    const hasTrees = entries.some((entry) => entry.isDirectory());
    if (hasTrees && trees !== undefined) return [];
    if (hasTrees) await emptyInThread(folder, { path: `${parentPath}/${name}` });
    else for (const file of files) await unlink(procPath({ handle: folder, name: file }));
    await rmdir(procPath({ handle: parent, name })).catch((error: unknown) => {
      // Another process removed the whole tree in the meantime.
      if (errnoOf(error) !== 'ENOENT') throw error;
    });
    return [...files.map((file) => `${parentPath}/${name}/${file}`), `${parentPath}/${name}`];
  } finally {
    await folder.close();
  }
}

/**
 * The same for an open folder, without opening a file: works when no descriptor is free. Undefined
 * if the folder holds other names as well; some of its content then remains.
 */
export async function removeByNames(
  parent: Handle,
  folder: { readonly name: string; readonly handle: Handle },
  names: readonly string[],
  parentPath: string,
): Promise<string[] | undefined> {
  const unlinked = names.map(async (name) => {
    try {
      await unlink(procPath({ handle: folder.handle, name }));
      return [`${parentPath}/${folder.name}/${name}`];
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
      return [];
    }
  });
  const removed = (await Promise.all(unlinked)).flat();
  try {
    await rmdir(procPath({ handle: parent, name: folder.name }));
    return [...removed, `${parentPath}/${folder.name}`];
  } catch (error) {
    if (errnoOf(error) === 'ENOTEMPTY') return undefined;
    // Another process removed the whole tree in the meantime.
    if (errnoOf(error) === 'ENOENT') return removed;
    throw error;
  }
}

/** Space that the files of a private folder occupy; undefined if it does not exist. */
export async function privateFolderBytes(parent: Handle, name: string): Promise<bigint | undefined> {
  const folder = await openFolder(parent, name).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (folder === undefined) return undefined;
  try {
    let sum = 0n;
    for (const file of await readdir(procPath({ handle: folder }))) {
      const found = await lstat(procPath({ handle: folder, name: file }), { bigint: true }).catch((error: unknown) => {
        // A running tool has removed or renamed it.
        if (errnoOf(error) === 'ENOENT') return undefined;
        throw error;
      });
      if (found !== undefined) sum += sizesOf(found).allocatedBytes;
    }
    return sum;
  } finally {
    await folder.close();
  }
}
