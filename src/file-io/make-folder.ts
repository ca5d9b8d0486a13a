import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Makes a folder and those above it where they are missing. Fails with the error of the system that
 * stands in the way; Node's own recursive mkdir calls one that it does not expect, such as EIO,
 * ENOENT.
 */
export async function makeFolder(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, mode);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT' && dirname(path) !== path) {
      await makeFolder(dirname(path), mode);
      await mkdir(path, mode).catch(ifThere(path));
    } else await ifThere(path)(error);
  }
}

/** Another process may have made it; anything there that is no folder stays an error. */
function ifThere(path: string): (error: unknown) => Promise<void> {
  return async (error) => {
    const isThere = error instanceof Error && 'code' in error && error.code === 'EEXIST';
    if (!isThere || !(await stat(path)).isDirectory()) throw error;
  };
}
