import { realpath } from 'node:fs/promises';
import type { FileCalls } from '../gates/file-calls.js';
import { HostlerError } from '../../domain/model/errors.js';
import { enteredCallsOf } from '../gates/handles.js';
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
  const calls = enteredCallsOf(opened);
  const { dev, ino } = await calls.stat(opened.fd);
  let path = '';
  for (let [tries, renames] = [0, 0]; tries < TRIES && renames < RENAMES;) {
    path = await calls.readlink(own);
    const there = await statIfThere(path, calls, { dev, ino });
    // The folder was removed: creating a name in it fails anyway.
    if ((there?.dev === dev && there.ino === ino) || path.endsWith(' (deleted)')) return;
    if ((await realpath(path).catch(ifGone)) === path) tries += 1;
    else renames += 1;
  }
  throw new HostlerError('ROOT_UNAVAILABLE', `another filesystem lies over ${path} now, or it was unmounted`, {
    facts: { path },
  });
}

/** What the path leads to; `own` for a process that may not search the folders above it. */
async function statIfThere(path: string, calls: FileCalls, own: { readonly dev: bigint; readonly ino: bigint }) {
  try {
    return await calls.statPath(path);
  } catch (error) {
    // Such a process can still work through the handle.
    if (errnoOf(error) === 'EACCES') return own;
    ifGone(error);
    return undefined;
  }
}

function ifGone(error: unknown): void {
  if (errnoOf(error) !== 'ENOENT' && errnoOf(error) !== 'ENOTDIR') throw error;
}
