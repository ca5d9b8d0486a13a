import { lstatSync, statSync } from 'node:fs';

/** Whether the path exists. Fails if that cannot be determined: `existsSync` would return false. */
export function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

/**
 * Length in bytes; undefined if the path does not exist. Fails if that cannot be determined, and
 * for a dangling link.
 */
export function sizeOf(path: string): number | undefined {
  return isThere(path) ? statSync(path).size : undefined;
}
