/** Private folders below the roots, of all agents. */
import { lstat } from 'node:fs/promises';
import { errnoOf } from '../linux/errno.js';
import { folderEntries } from '../gates/folder-entries.js';
import { asked, openFolderIn, RootedHandle, slowly } from '../gates/handles.js';
import { PRIVATE_PREFIX, privateFolderBytes } from '../paths/private-folders.js';
import type { Root } from '../paths/roots.js';
import { procPath } from '../linux/proc-path.js';
import type { Handle } from '../../domain/ports/handles.js';

/** The name of a folder in which an operation works: the agent id and the operation id. */
export const PRIVATE_NAME = /^\.hostler-([0-9a-f]{12})-(.+)$/;

export interface PrivateFolder {
  /** Open until the visit of this folder has ended. */
  readonly parent: Handle;
  readonly parentPath: string;
  readonly name: string;
  readonly agentId: string;
  readonly operationId: string;
}

export interface WalkOptions {
  readonly visit: (folder: PrivateFolder) => Promise<void>;
  /**
   * Called for a place that could not be read, or a folder whose visit failed. The walk continues.
   */
  readonly failed: (path: string, cause: unknown) => void;
}

/** Visits the private folders of all read-write roots, one after the other. Never fails. */
export async function walkPrivateFolders(roots: readonly Root[], options: WalkOptions): Promise<void> {
  for (const { access, handle, realPath, gate } of roots) {
    if (access !== 'read-write') continue;
    // A separate handle: that of the root is closed when another filesystem is mounted there.
    const folder = await gate
      .call(() => RootedHandle.folder(handle, '.', gate), close)
      .catch((error: unknown) => {
        options.failed(realPath, error);
        return undefined;
      });
    if (folder === undefined) continue;
    try {
      await walk(folder, realPath, options);
    } finally {
      await folder.close();
    }
  }
}

const close = (late: Handle) => late.close();

async function walk(folder: Handle, path: string, options: WalkOptions): Promise<void> {
  const names = await foldersIn(folder).catch((error: unknown) => {
    options.failed(path, error);
    return [];
  });
  for (const name of names) {
    try {
      const [, agentId, operationId] = PRIVATE_NAME.exec(name) ?? [];
      if (agentId !== undefined && operationId !== undefined)
        await options.visit({ parent: folder, parentPath: path, name, agentId, operationId });
      else if (!name.startsWith(PRIVATE_PREFIX)) await below(folder, name, path, options);
    } catch (error) {
      options.failed(`${path}/${name}`, error);
    }
  }
}

async function below(parent: Handle, name: string, path: string, options: WalkOptions): Promise<void> {
  const folder = await asked(parent, () => openFolderIn(parent, name), close).catch((error: unknown) => {
    // Gone, or not accessible: then it holds no private folder of this agent.
    if (['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM'].includes(errnoOf(error) ?? '')) return undefined;
    throw error;
  });
  if (folder === undefined) return;
  try {
    await walk(folder, `${path === '/' ? '' : path}/${name}`, options);
  } finally {
    await folder.close();
  }
}

async function foldersIn(folder: Handle): Promise<string[]> {
  const entries = await slowly(folder, () => folderEntries(folder));
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

/** The private folders of one agent. */
export interface Leftovers {
  readonly agent: string;
  readonly count: number;
  readonly bytes: bigint;
  readonly oldestMs: number;
}

/** Adds a folder to those of its agent. */
export async function countIn(counted: Map<string, Leftovers>, folder: PrivateFolder): Promise<void> {
  const { parent, name, agentId: agent } = folder;
  const { count, bytes, oldestMs } = counted.get(agent) ?? { count: 0, bytes: 0n, oldestMs: Infinity };
  const { mtimeMs } = await asked(parent, () => lstat(procPath({ handle: parent, name })));
  const more = (await asked(parent, () => privateFolderBytes(parent, name))) ?? 0n;
  counted.set(agent, { agent, count: count + 1, bytes: bytes + more, oldestMs: Math.min(oldestMs, mtimeMs) });
}
