import { constants } from 'node:fs';
import { open, realpath, type FileHandle } from 'node:fs/promises';
import type { FileAttributes } from '../domain/ports.js';
import { ConfigError } from './config.js';
import { errnoOf } from './errno.js';
import { O_PATH } from './handles.js';
import { RootGate } from './root-gate.js';

export interface RootConfig {
  readonly path: string;
  readonly access: 'read-write' | 'read-only';
  readonly attributes: FileAttributes;
}

/** A configured root, held open for as long as the daemon lives. */
export interface Root extends RootConfig {
  readonly realPath: string;
  readonly handle: FileHandle;
  readonly gate: RootGate;
}

/** Opens the roots where they really are. Fails when one is not a folder. */
export async function openRoots(configs: readonly RootConfig[], patienceMs: number): Promise<Root[]> {
  const roots: Root[] = [];
  for (const config of configs) {
    try {
      const realPath = await realpath(config.path);
      const handle = await open(realPath, O_PATH | constants.O_DIRECTORY);
      roots.push({ ...config, realPath, handle, gate: new RootGate(config.path, patienceMs) });
    } catch (error) {
      throw new ConfigError(`the root ${config.path} cannot be opened as a folder: ${errnoOf(error) ?? String(error)}`);
    }
  }
  return roots;
}

/** The innermost root that holds a path, with the path's components below it. */
export function findRoot(
  roots: readonly Root[],
  path: string,
): { readonly root: Root; readonly components: readonly string[] } | undefined {
  const hits = roots.flatMap((root) =>
    [root.path, root.realPath].filter((prefix) => isBelow(path, prefix)).map((prefix) => ({ root, prefix })),
  );
  const best = hits.reduce<(typeof hits)[number] | undefined>(
    (longest, hit) => (hit.prefix.length > (longest?.prefix.length ?? -1) ? hit : longest),
    undefined,
  );
  if (best === undefined) return undefined;
  const rest = path.slice(best.prefix === '/' ? 1 : best.prefix.length + 1);
  return { root: best.root, components: rest === '' ? [] : rest.split('/') };
}

/** Whether a path is a folder itself or lies in it. */
export function isBelow(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder === '/' ? '/' : `${folder}/`);
}
