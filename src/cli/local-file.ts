/** Local files that a user names. */
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';

/** A problem of a local file, with a message for the user. */
export class LocalFileError extends Error {
  override readonly name = 'LocalFileError';
}

/**
 * Opens a regular file for reading; the caller closes it. Fails with system errors, and with
 * LocalFileError for other kinds: a pipe may block forever, and a device may have no end.
 */
export async function openRegular(path: string): Promise<FileHandle> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw new LocalFileError(`${path} is no regular file`);
}

/**
 * Opens anything that has bytes to read, including a pipe; the caller closes it. Fails as
 * `openRegular`.
 */
export async function openReadable(path: string): Promise<FileHandle> {
  const file = await open(path);
  if (!(await file.stat()).isDirectory()) return file;
  await file.close();
  throw new LocalFileError(`${path} is a folder`);
}

/**
 * A system error as `what is wrong: PATH`, without the names of system calls; undefined for other
 * errors.
 * @param file what was read, for errors that do not name it: those of folders
 */
export function systemProblem(error: unknown, file?: string): string | undefined {
  if (!(error instanceof Error) || !('errno' in error) || !('code' in error)) return undefined;
  if (typeof error.code !== 'string') return undefined;
  const [, what] = /^[A-Z0-9_]+: ([^,]+), \w+/.exec(error.message) ?? [];
  const path = 'path' in error && typeof error.path === 'string' ? error.path : file;
  if (error.code === 'EISDIR' && path !== undefined) return `${path} is a folder`;
  const words = what ?? error.message.replace(/^[A-Z0-9_]+: /, '').replace(/, \w+$/, '');
  return path === undefined || words.includes(path) ? words : `${words}: ${path}`;
}
