import { lstatSync, statSync } from 'node:fs';

/**
 * Whether there is something of this name. Fails where that cannot be told: `existsSync` calls that
 * "no".
 */
export function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

/**
 * In bytes; undefined where there is nothing of this name. Fails where that cannot be told, and at
 * a link that leads nowhere.
 */
export function sizeOf(path: string): number | undefined {
  return isThere(path) ? statSync(path).size : undefined;
}
