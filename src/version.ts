import { readFileSync } from 'node:fs';

/** The version that package.json says. */
export function readVersion(): string {
  // From dist/src and from dist/bundle.
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  if (typeof manifest !== 'object' || manifest === null || !('version' in manifest)) throw new Error('no version');
  return String(manifest.version);
}
