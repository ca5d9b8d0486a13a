/** Small files of the daemon. */
import { constants, type Stats } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { OwnFileError } from '../domain/model/own-files.js';

/** The longest of them lists operations, 29 bytes each. */
const MAX_BYTES = 16 << 20;

/**
 * The text of a file; undefined if it does not exist. Fails with system errors, and with
 * OwnFileError if it is not a regular file or longer than 16 MiB: a pipe may block forever, and a
 * device may have no end.
 */
export async function ownText(path: string): Promise<string | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return await textOf(file, path);
  } finally {
    await file.close();
  }
}

/** The text of an open file, from its beginning. Fails as `ownText`. */
export async function textOf(file: FileHandle, path: string): Promise<string> {
  const problem = problemOf(await file.stat());
  if (problem !== undefined) throw new OwnFileError(`${path} ${problem}: remove it, or name another place`);
  return (await file.readFile()).toString();
}

function problemOf(stat: Stats): string | undefined {
  if (stat.isDirectory()) return 'is a folder';
  if (!stat.isFile()) return 'is no regular file';
  return stat.size > MAX_BYTES ? `has ${String(stat.size)} bytes and cannot be ours` : undefined;
}
