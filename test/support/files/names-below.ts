import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';

/**
 * Everything below a folder, as paths from it. Links are not followed: they may form a circle,
 * which Node's own walk of names alone ends with ELOOP. What is removed meanwhile is no failure.
 */
export async function namesBelow(folder: string): Promise<string[]> {
  for (;;)
    try {
      const entries = await readdir(folder, { recursive: true, withFileTypes: true });
      return entries.map(({ parentPath, name }) => relative(folder, join(parentPath, name)));
    } catch (error) {
      // A folder below it has gone since it was listed.
      const gone = error instanceof Error && 'code' in error && error.code === 'ENOENT';
      if (!gone || !existsSync(folder)) throw error;
    }
}

/** Private folders of operations that are still below a folder. */
export async function leftovers(folder: string): Promise<string[]> {
  return (await namesBelow(folder)).filter((name) => name.includes('.hostler-'));
}
