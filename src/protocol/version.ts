import { readFileSync } from 'node:fs';
import { findPackageJSON } from 'node:module';

/** The version in package.json. */
export function readVersion(): string {
  const path = findPackageJSON(import.meta.url);
  if (path === undefined) throw new Error('no package.json above the program');
  const manifest: unknown = JSON.parse(readFileSync(path, 'utf8'));
  if (typeof manifest !== 'object' || manifest === null || !('version' in manifest)) throw new Error('no version');
  return String(manifest.version);
}
/**
 * The contract that this daemon serves, as MAJOR.MINOR: MAJOR is that of the package hostler.v1;
 * MINOR grows when something is added.
 */
export const CONTRACT_VERSION = '1.0';

/** Parts of the contract that were added later, or that only some daemons are configured for. */
export type Feature = 'folders' | 'inventory' | 'cursors' | 'rates' | 'commands' | 'pools' | 'agents';

/** The features of every daemon of this version. */
export const FEATURES = ['folders', 'inventory', 'cursors', 'rates'] as const satisfies readonly Feature[];
