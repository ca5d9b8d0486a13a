import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Creates a folder and its missing parents. Fails with the system's error; Node's own recursive
 * mkdir replaces unexpected ones, such as EIO, by ENOENT.
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

/** Another process may have created it; an entry that is not a folder stays an error. */
function ifThere(path: string): (error: unknown) => Promise<void> {
  return async (error) => {
    const isThere = error instanceof Error && 'code' in error && error.code === 'EEXIST';
    if (!isThere || !(await stat(path)).isDirectory()) throw error;
  };
}
