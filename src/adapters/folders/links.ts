/**
 * Links from a new name to the old one, which exist while headers get the new name. The callers go
 * through the gates of the roots.
 */
import { lstat, readlink, symlink, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { FileIdentity } from '../../domain/ports/handles.js';
import type { ResolvedTarget } from '../../domain/ports/targets.js';
import { errnoOf } from '../linux/errno.js';
import { procPath } from '../linux/proc-path.js';

/** Text of a link to the target: an absolute path, which tools can follow as well. */
export async function linkText({ directory, name }: ResolvedTarget): Promise<string> {
  return join(await readlink(procPath({ handle: directory })), name);
}

/** Fails with EEXIST if another entry has the name. */
export async function makeLink(text: string, at: ResolvedTarget): Promise<void> {
  try {
    await symlink(text, pathOf(at));
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST' || !(await saysLink(text, at))) throw error;
  }
}

/** Removes the link. An entry of another kind with this name stays. */
export async function removeLink(text: string, at: ResolvedTarget): Promise<void> {
  if (await saysLink(text, at)) await unlink(pathOf(at));
}

/** Whether the name is a link with this text. */
export async function saysLink(text: string, at: ResolvedTarget): Promise<boolean> {
  try {
    return (await readlink(pathOf(at))) === text;
  } catch (error) {
    // EINVAL: the entry is not a link.
    if (!['ENOENT', 'EINVAL'].includes(errnoOf(error) ?? '')) throw error;
    return false;
  }
}

/** Identity of the entry that has the name now; undefined if there is none. */
export async function identityAt(place: ResolvedTarget): Promise<FileIdentity | undefined> {
  try {
    const { dev, ino } = await lstat(pathOf(place), { bigint: true });
    return { device: dev, inode: ino };
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function pathOf({ directory, name }: ResolvedTarget): string {
  return procPath({ handle: directory, name });
}
