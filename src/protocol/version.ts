import { readFileSync } from 'node:fs';
import { findPackageJSON } from 'node:module';

/** The version that package.json says. */
export function readVersion(): string {
  const path = findPackageJSON(import.meta.url);
  if (path === undefined) throw new Error('no package.json above the program');
  const manifest: unknown = JSON.parse(readFileSync(path, 'utf8'));
  if (typeof manifest !== 'object' || manifest === null || !('version' in manifest)) throw new Error('no version');
  return String(manifest.version);
}
