import { readlink, realpath, stat } from 'node:fs/promises';
import { HostlerError } from '../../domain/model/errors.js';
import { errnoOf } from '../linux/errno.js';
import { procPath } from '../linux/proc-path.js';
import type { Handle } from '../../domain/ports/handles.js';

/**
 * A folder that is renamed between the two calls is checked again; one under a mount gives the same
 * answer each time.
 */
const TRIES = 5;
/**
 * How often the path may lead to a link or to nothing: a mount does not cause that, and renames end
 * at some point.
 */
const RENAMES = 200;

/**
 * Fails with ROOT_UNAVAILABLE if the path of an open folder or file leads to another one now: a
 * filesystem was mounted over it, or unmounted, since it was opened. Files created or written there
 * would be hidden.
 */
export async function assertNotCovered(opened: Handle): Promise<void> {
  const own = procPath({ handle: opened });
  const { dev, ino } = await stat(own, { bigint: true });
  let path = '';
  for (let [tries, renames] = [0, 0]; tries < TRIES && renames < RENAMES;) {
    path = await readlink(own);
    const there = await stat(path, { bigint: true }).catch((error: unknown) => {
      // A process that may not search its parent folders can still work through the handle.
      if (errnoOf(error) === 'EACCES') return { dev, ino };
      ifGone(error);
      return undefined;
    });
    // The folder was removed: creating a name in it fails anyway.
    if ((there?.dev === dev && there.ino === ino) || path.endsWith(' (deleted)')) return;
    if ((await realpath(path).catch(ifGone)) === path) tries += 1;
    else renames += 1;
  }
  throw new HostlerError('ROOT_UNAVAILABLE', `another filesystem lies over ${path} now, or it was unmounted`, {
    facts: { path },
  });
}

function ifGone(error: unknown): void {
  if (errnoOf(error) !== 'ENOENT' && errnoOf(error) !== 'ENOTDIR') throw error;
}
