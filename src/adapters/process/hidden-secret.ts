import { constants } from 'node:fs';
import { open, writeFile, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { memoryFolder, type MemoryFolders } from './memory-folders.js';

/** O_TMPFILE: a file that never has a name. */
const O_TMPFILE = 0o20200000;

/** A secret that a child inherits as a descriptor. */
export interface HiddenSecret {
  readonly fd: number;
  close(): Promise<void>;
}

/** Stores a secret in a file in memory that never has a name. */
export async function hideSecret(secret: Uint8Array): Promise<FileHandle> {
  const file = await open(await memoryFolder(), O_TMPFILE | constants.O_RDWR, 0o600);
  try {
    // A write at an offset does not move the file position, from which the sandbox reads.
    await file.write(secret, 0, secret.length, 0);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** For tools that need a folder: the secret is a file with that name in its own folder. */
export async function hideInFolder(secret: Uint8Array, name: string, folders: MemoryFolders): Promise<HiddenSecret> {
  const folder = await folders.make();
  try {
    await writeFile(join(folder.path, name), secret, { mode: 0o600 });
    return { fd: folder.handle.fd, close: folder.remove };
  } catch (error) {
    await folder.remove();
    throw error;
  }
}
