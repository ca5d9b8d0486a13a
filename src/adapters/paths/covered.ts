import { readlink, realpath, stat } from 'node:fs/promises';
import { HostlerError } from '../../domain/model/errors.js';
import { errnoOf } from '../linux/errno.js';
import { procPath } from '../linux/proc-path.js';
import type { Handle } from '../../domain/ports/handles.js';

/**
 * A folder that is renamed between the two questions is asked for again; one under a mount answers
 * the same each time.
 */
const TRIES = 5;
/**
 * So often a link stands, or nothing, where the folder was: no mount does that, and nobody renames
 * for ever.
 */
const RENAMES = 200;

/**
 * Fails with ROOT_UNAVAILABLE when the own path of a folder or file leads to another one: a
 * filesystem was mounted over it, or taken from under it, since it was opened. What is given a name
 * there, or written there, nobody would find.
 */
export async function assertNotCovered(opened: Handle): Promise<void> {
  const own = procPath({ handle: opened });
  const { dev, ino } = await stat(own, { bigint: true });
  let path = '';
  for (let [tries, renames] = [0, 0]; tries < TRIES && renames < RENAMES;) {
    path = await readlink(own);
    const there = await stat(path, { bigint: true }).catch((error: unknown) => {
      // Who may not look at its parents works through its handle all the same.
      if (errnoOf(error) === 'EACCES') return { dev, ino };
      ifGone(error);
      return undefined;
    });
    // Removed altogether: then giving a name in it fails by itself.
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
