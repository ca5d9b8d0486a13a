import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import type { FileRef, Handle } from '../domain/ports.js';

/** A descriptor that names an inode without opening its content. */
export const O_PATH = 0o10000000;
const { O_DIRECTORY, O_NOFOLLOW } = constants;

/** The path by which this process reaches what a reference names, whatever has happened to its own path. */
export function procPath({ handle, name }: FileRef): string {
  return `/proc/self/fd/${String(handle.fd)}${name === undefined ? '' : `/${name}`}`;
}

/** Opens a folder below a folder, never through a link. */
export function openFolder(parent: Handle, name: string): Promise<FileHandle> {
  return open(procPath({ handle: parent, name }), O_PATH | O_DIRECTORY | O_NOFOLLOW);
}

/** Opens whatever the name is, a link as itself. */
export function openLeaf(parent: Handle, name: string): Promise<FileHandle> {
  return open(procPath({ handle: parent, name }), O_PATH | O_NOFOLLOW);
}

/** Makes the names in a folder durable. */
export async function syncFolder(folder: Handle): Promise<void> {
  const file = await open(procPath({ handle: folder }), constants.O_RDONLY | O_DIRECTORY);
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
