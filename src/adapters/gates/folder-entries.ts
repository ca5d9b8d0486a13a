import { Stats } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { errnoOf } from '../linux/errno.js';
import { SYNC } from './file-calls.js';
import { callsOf } from './handles.js';
import { procPath } from '../linux/proc-path.js';
import type { Handle } from '../../domain/ports/handles.js';

/** An entry of a folder and its kind. */
export interface FolderEntry {
  readonly name: string;
  isFile(): boolean;
  isDirectory(): boolean;
}

/**
 * The entries of a folder. If a filesystem does not list the kinds of its entries (many FUSE ones),
 * Node calls lstat for all entries at once, in all threads of the pool. So for filesystems of other
 * hosts the entries are examined one after the other here.
 */
export async function folderEntries(folder: Handle): Promise<readonly FolderEntry[]> {
  const path = procPath({ handle: folder });
  if (callsOf(folder) === SYNC) return readdir(path, { withFileTypes: true });
  const found: FolderEntry[] = [];
  for (const name of await readdir(path)) {
    const stat = await lstat(procPath({ handle: folder, name })).catch((error: unknown) => error);
    if (errnoOf(stat) === 'ENOENT') continue;
    const known = stat instanceof Stats ? stat : undefined;
    // An entry that cannot be examined may be a folder, such as a dead mount: opening it reports
    // the error.
    found.push({ name, isFile: () => known?.isFile() === true, isDirectory: () => known?.isDirectory() !== false });
  }
  return found;
}
