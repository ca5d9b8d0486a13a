/** Writes docs/api: every RPC, message and group of reasons, from the comments of proto/. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hostlerFiles } from './api/descriptors.js';
import { apiPages } from './api/pages.js';

const MOST_LINES = 200;
const [descriptors, folder] = process.argv.slice(2);
if (descriptors === undefined || folder === undefined) throw new Error('usage: api-pages DESCRIPTORS FOLDER');
mkdirSync(folder, { recursive: true });
for (const [name, text] of apiPages(hostlerFiles(readFileSync(descriptors)))) {
  const { length } = text.split('\n');
  if (length > MOST_LINES)
    throw new Error(`docs/api/${name} has ${String(length)} lines: move RPCs in api/contents.ts`);
  writeFileSync(join(folder, name), text);
}
