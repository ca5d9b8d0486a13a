/** Writes the tables of the corpus into docs/reference/corpus.md. */
import { readFileSync, writeFileSync } from 'node:fs';
import { corpusTables } from './corpus.js';
import { withBetween } from './marks.js';

const file = new URL('../../../docs/reference/corpus.md', import.meta.url);
writeFileSync(file, withBetween(readFileSync(file, 'utf8'), `\n\n${corpusTables()}\n\n`));
