/** The packages of npm that a distribution of Hostler has in it, found by what is really there. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { z } from 'zod';

/** A package of npm, as it lies in node_modules. */
export interface Part {
  readonly name: string;
  readonly version: string;
  /** An expression of SPDX. */
  readonly license: string;
  /** Its folder, relative to the checkout. */
  readonly folder: string;
}

const words = z.record(z.string(), z.string()).default({});
const manifest = z.object({
  name: z.string(),
  version: z.string(),
  license: z.string().optional(),
  dependencies: words,
  optionalDependencies: words,
});
const imports = z.array(z.object({ path: z.string(), external: z.boolean().optional() }));
const metafile = z.object({
  inputs: z.record(z.string(), z.unknown()),
  outputs: z.record(z.string(), z.object({ imports })),
});

/** Packages whose code esbuild put into the bundle. */
export function bundledParts(file: string): Part[] {
  const folders = Object.keys(metafile.parse(read(file)).inputs).map(
    (input) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0],
  );
  return [...new Set(folders)].filter((folder) => folder !== undefined).map(partAt);
}

/**
 * Packages that the bundle imports and does not contain, with everything that they need. Fails when
 * one that is needed is not installed; optional ones for other platforms are not.
 */
export function outsideParts(file: string): Part[] {
  const found = new Map<string, Part>();
  const add = (name: string, from: string, optional: boolean) => {
    const folder = resolvePackage(name, from);
    if (folder === undefined && !optional) throw new Error(`${name}, which ${from} needs, is not installed`);
    if (folder === undefined || found.has(folder)) return;
    found.set(folder, partAt(folder));
    const { dependencies, optionalDependencies } = manifest.parse(read(join(folder, 'package.json')));
    for (const each of Object.keys({ ...dependencies, ...optionalDependencies }))
      add(each, folder, each in optionalDependencies);
  };
  const imported = Object.values(metafile.parse(read(file)).outputs).flatMap((each) => each.imports);
  for (const { path, external } of imported)
    if (external === true && !path.startsWith('node:') && !path.startsWith('.')) add(path, '.', true);
  // Loaded by name while the daemon runs: esbuild does not see it.
  add('koffi', '.', false);
  return [...found.values()];
}

/** The runtime of this machine's architecture. */
export function runtimePart(): Part {
  return { ...partAt(`node_modules/node-linux-${process.arch}`), name: `node-linux-${process.arch}` };
}

function partAt(folder: string): Part {
  const { name, version, license } = manifest.parse(read(join(folder, 'package.json')));
  if (license === undefined) throw new Error(`${folder} does not say its license`);
  return { name, version, license, folder };
}

/** As Node resolves it: in the folder's node_modules, or in one above it. */
function resolvePackage(name: string, from: string): string | undefined {
  for (let folder = from; ; folder = dirname(folder)) {
    const path = join(folder, 'node_modules', name);
    if (existsSync(join(path, 'package.json'))) return relative('.', path).split(sep).join('/');
    if (folder === '.' || folder === '/') return undefined;
  }
}

function read(file: string): unknown {
  return JSON.parse(readFileSync(file, 'utf8'));
}
