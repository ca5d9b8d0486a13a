import { Stats } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { errnoOf } from '../linux/errno.js';
import { SYNC } from './file-calls.js';
import { callsOf } from './handles.js';
import { procPath } from '../linux/proc-path.js';
import type { Handle } from '../../domain/ports/handles.js';

/** What a name in a folder stands for. */
export interface FolderEntry {
  readonly name: string;
  isFile(): boolean;
  isDirectory(): boolean;
}

/**
 * What is in a folder. Where a filesystem does not list what its names stand for (many of FUSE),
 * Node asks about all of them at the same time, in as many threads as there are: so those of other
 * hosts are asked about one name after the other here.
 */
export async function folderEntries(folder: Handle): Promise<readonly FolderEntry[]> {
  const path = procPath({ handle: folder });
  if (callsOf(folder) === SYNC) return readdir(path, { withFileTypes: true });
  const found: FolderEntry[] = [];
  for (const name of await readdir(path)) {
    const stat = await lstat(procPath({ handle: folder, name })).catch((error: unknown) => error);
    if (errnoOf(stat) === 'ENOENT') continue;
    const known = stat instanceof Stats ? stat : undefined;
    // What cannot be looked at may be a folder, such as a dead mount: who opens it hears why.
    found.push({ name, isFile: () => known?.isFile() === true, isDirectory: () => known?.isDirectory() !== false });
  }
  return found;
}
