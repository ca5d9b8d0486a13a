/**
 * Copies what the bundle needs beside itself into a tree, writes the notices of everything in it, and
 * prints the list of that.
 *   node dist/scripts/package/stage.js TREE    in the root of the checkout
 */
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { noticesOf } from './notices.js';
import { bundledParts, outsideParts, runtimePart } from './parts.js';

const METAFILE = 'dist/bundle.meta.json';
/** What nobody loads: sources of native code, programs for other systems, pages, types, maps. */
const LEFT_OUT = [
  /\.(?:map|md|ts|cc|hh|h|gyp|asm|S|inc|def)$|\.musl\.node$|\/\.[^/.]+$|\/trampolines\.cjs$/,
  /\/classic-level\/deps$/,
  /\/koffi\/(?:doc|vendor|lib|cnoke\.cjs|src\/cnoke)$/,
  /\/musl_[^/]+$/,
  /\/proto-loader\/build\/bin$/,
  /\/node-gyp-build\/(?:bin|build-test|optional)\.js$/,
  /\/(?:test|tests|benchmark|example|examples)$/,
];

const [tree] = process.argv.slice(2);
if (tree === undefined) throw new Error('usage: stage.js TREE');
const own = `prebuilds/linux-${process.arch}`;
const isWanted = (path: string) =>
  !LEFT_OUT.some((pattern) => pattern.test(path)) && (!/\/prebuilds\/./.test(path) || path.includes(own));

const [outside, runtime] = [outsideParts(METAFILE), runtimePart()];
for (const { folder } of outside)
  cpSync(folder, join(tree, 'usr/lib/hostler', folder), {
    recursive: true,
    // A package that lies in another one is copied by itself, if it is needed.
    filter: (path) => isWanted(path) && !path.slice(folder.length).includes('/node_modules'),
  });
cpSync(join(runtime.folder, 'bin/node'), join(tree, 'usr/lib/hostler', runtime.folder, 'bin/node'));

const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);
const all = [...new Map([...bundledParts(METAFILE), ...outside, runtime].map((part) => [part.folder, part])).values()];
const parts = all.sort(byName);
const pages = join(tree, 'usr/share/doc/hostler');
mkdirSync(pages, { recursive: true });
writeFileSync(join(pages, 'NOTICES'), noticesOf(parts));
process.stdout.write(`${JSON.stringify(parts)}\n`);
