import { readFileSync } from 'node:fs';
import { findPackageJSON } from 'node:module';
import { dirname } from 'node:path';
import { pathToFileURL } from 'node:url';

/** The version in package.json. */
export function readVersion(): string {
  return readPackage().version;
}

/** The folder of package.json, below which is `dist`. */
export function packageFolder(): string {
  return readPackage().folder;
}

/** The next one with a version: that of the bundle says only of which kind its modules are. */
function readPackage() {
  for (let from = import.meta.url; ;) {
    const path = findPackageJSON(from);
    if (path === undefined) throw new Error('no package.json with a version above the program');
    const manifest: unknown = JSON.parse(readFileSync(path, 'utf8'));
    const folder = dirname(path);
    if (typeof manifest === 'object' && manifest !== null && 'version' in manifest)
      return { folder, version: String(manifest.version) };
    from = pathToFileURL(folder).href;
  }
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
