import { readdir } from 'node:fs/promises';

/** What is in a cache's folder beside the file that says whose it is. */
export async function cached(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => name !== '.owner');
}
