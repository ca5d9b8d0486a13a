import { lstatSync, statSync } from 'node:fs';

/**
 * Whether something of this name exists. Fails where that cannot be determined: `existsSync` calls
 * that "no".
 */
export function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

/**
 * Length in bytes; undefined where nothing of this name exists. Fails where that cannot be
 * determined, and at a link that leads nowhere.
 */
export function sizeOf(path: string): number | undefined {
  return isThere(path) ? statSync(path).size : undefined;
}
