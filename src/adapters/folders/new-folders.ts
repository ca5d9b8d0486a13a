import { constants } from 'node:fs';
import { mkdir, open, type FileHandle } from 'node:fs/promises';
import { HostlerError } from '../../domain/model/errors.js';
import type { FileIdentity, Handle } from '../../domain/ports/handles.js';
import type { GivenOwner } from '../files/given-owner.js';
import { asked, slowly } from '../gates/handles.js';
import { procPath } from '../linux/proc-path.js';
import type { StagingFolder } from './staging-folder.js';

const FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** While it is made. */
const CLOSED = 0o700;
/** Of the topmost folder while it is made. */
export const TOPMOST = 'part';
/** Who may not be anybody else's: a folder in it belongs to its group. */
const SET_GID = 0o2000;

/** Makes them one in the other, durably. Fails with system errors, and with the signal's reason. */
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
      // What is made in it needs the rights that it has while it is made.
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

/** Gives it its owner and mode, makes both and what is in it durable, and closes it. */
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
