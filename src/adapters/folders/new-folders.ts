import { constants } from 'node:fs';
import { mkdir, open, type FileHandle } from 'node:fs/promises';
import { HostlerError } from '../../domain/model/errors.js';
import type { FileIdentity, Handle } from '../../domain/ports/handles.js';
import type { GivenOwner } from '../files/given-owner.js';
import { asked, slowly } from '../gates/handles.js';
import { procPath } from '../linux/proc-path.js';
import type { StagingFolder } from './staging-folder.js';

const FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** Mode of a folder while it is being created. */
const CLOSED = 0o700;
/** Name of the topmost folder while it is being created. */
export const TOPMOST = 'part';
/** With this bit, entries of a folder belong to the folder's group. */
const SET_GID = 0o2000;

/**
 * Creates folders inside each other, durably. Fails with system errors and with the signal's
 * reason.
 */
export async function makeFolders(
  folder: StagingFolder,
  below: readonly string[],
  owner: GivenOwner,
  signal: AbortSignal,
): Promise<FileIdentity> {
  let made: FileIdentity | undefined;
  let last: FileHandle | undefined;
  let parent: Handle = folder.handle;
  try {
    for (const name of [TOPMOST, ...below]) {
      signal.throwIfAborted();
      const opened: FileHandle = await asked(
        folder.handle,
        () => newFolder(parent, name),
        (late) => late.close(),
      );
      // Entries inside need the temporary mode, so a folder gets its final mode after its content.
      if (last !== undefined) await settled(last, owner, folder.handle);
      [last, parent] = [opened, opened];
      if (made === undefined) {
        const { dev, ino } = await asked(folder.handle, () => opened.stat({ bigint: true }));
        made = { device: dev, inode: ino };
      }
    }
    if (last !== undefined) await settled(last, owner, folder.handle);
    last = undefined;
  } finally {
    await last?.close();
  }
  if (made === undefined) throw new HostlerError('BUG', 'no folder was made');
  return made;
}

async function newFolder(parent: Handle, name: string): Promise<FileHandle> {
  const path = procPath({ handle: parent, name });
  await mkdir(path, CLOSED);
  return open(path, FOLDER);
}

/** Sets owner and mode of the folder, makes them and its entries durable, and closes the folder. */
async function settled(folder: FileHandle, { uid, gid, mode = CLOSED }: GivenOwner, root: Handle): Promise<void> {
  try {
    await slowly(root, async () => {
      const now = await folder.stat();
      if ((uid ?? now.uid) !== now.uid || (gid ?? now.gid) !== now.gid)
        await folder.chown(uid ?? now.uid, gid ?? now.gid);
      await folder.chmod(mode | (now.mode & SET_GID));
      await folder.sync();
    });
  } finally {
    await folder.close();
  }
}
