/** All recipes, and the table of them. */
import type { Honest, Wrong } from './recipe.js';
import { CONTAINERS, CUT_CONTAINERS } from './recipes/containers.js';
import { DISKS } from './recipes/disks.js';
import { HOSTILE } from './recipes/hostile.js';
import { ARCHIVED, COMPRESSED, CUT_PACKED, NO_DISKS } from './recipes/packed.js';
import { WRITTEN } from './recipes/writers.js';

export const HONEST: readonly Honest[] = [...CONTAINERS, ...DISKS, ...WRITTEN, ...COMPRESSED, ...ARCHIVED];
export const WRONG: readonly Wrong[] = [...CUT_CONTAINERS, ...CUT_PACKED, ...NO_DISKS, ...HOSTILE];

/** The tables of docs/reference/corpus.md: between its two marks. */
export function corpusTables(): string {
  const honest = rowsOf(HONEST, ({ by }) => (by === 'fetch' ? 'fetched, the same' : 'the same by every call'));
  const wrong = rowsOf(WRONG, ({ reasons }) => reasons.map((reason) => `\`${reason}\``).join(' or '));
  return [
    `${String(HONEST.length)} sound images:`,
    '',
    '| kind | images | outcome |',
    '| --- | --- | --- |',
    ...honest,
    '',
    `${String(WRONG.length)} broken or hostile images:`,
    '',
    '| kind | images | outcome |',
    '| --- | --- | --- |',
    ...wrong,
  ].join('\n');
}

function rowsOf<T extends { readonly kind: string }>(recipes: readonly T[], outcome: (recipe: T) => string): string[] {
  const kinds = Map.groupBy(recipes, ({ kind }) => kind);
  return [...kinds].map(([kind, all]) => {
    const outcomes = [...new Set(all.map(outcome))].join('; ');
    return `| ${kind} | ${String(all.length)} | ${outcomes} |`;
  });
}
