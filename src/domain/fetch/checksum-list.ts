/**
 * Files such as SHA256SUMS: in the format of coreutils (`DIGEST  NAME`), of BSD (`SHA256 (NAME) =
 * DIGEST`), or a single digest.
 */
import { algorithmNamed, byLength, hintOf, type Named } from './digest-names.js';
import { breathe } from '../model/async.js';
import type { ExpectedChecksum } from '../model/checksum.js';

/** The location of the file that a list describes. */
export interface ListPlace {
  /** The components of its path. */
  readonly path: readonly string[];
  /** The components below the list's folder; undefined: the file lies elsewhere. */
  readonly below?: readonly string[];
  /** The last component of the list's own path. */
  readonly listName: string;
}

/** `lacks` says why the list has none, as in `LIST has no checksum of NAME`. */
export type Listed = { readonly checksum: ExpectedChecksum } | { readonly lacks: string };

/** Best first. */
const BEST: readonly ExpectedChecksum['algorithm'][] = [
  'sha512',
  'blake2b512',
  'sha3-512',
  'sha384',
  'sha3-384',
  'sha256',
  'sha3-256',
  'blake2s256',
  'sha224',
  'sha3-224',
  'sha1',
  'md5',
];
const HEX = '[0-9a-fA-F]{32,128}';
/**
 * After a leading backslash, `\\` and `\n` in the name are escapes. sha256sum(1) also accepts a
 * single space, as `md5 -r` of BSD writes.
 */
const GNU = new RegExp(`^(\\\\?)(${HEX})(?: [ *]|\\t| )(.+)$`);
const BSD = new RegExp(`^(\\\\?)([A-Za-z0-9/_-]+) ?\\((.+)\\) ?= ?(${HEX})$`);
/** A path with its digest is shorter; a longer line does not describe a file. */
const MAX_LINE = 5000;
/** Characters, or lines, that are processed before other work gets a turn. */
const SLICE = { characters: 16_384, lines: 500 };
const ALONE = new RegExp(`^${HEX}$`);
/** In Gentoo's lists: the following lines use this algorithm. */
const HEADING = /^# *(\S+) HASH$/i;

interface Line {
  readonly digest: string;
  readonly algorithm: Named;
  /** Unset: a digest without a name. */
  readonly name?: string;
}

/**
 * The best checksum that a list has for a file. If the name occurs in several folders, the path
 * from the list on counts, otherwise the longest name that the file's path ends with.
 */
export async function checksumIn(text: string, place: ListPlace): Promise<Listed> {
  const wanted = (place.below ?? place.path.slice(-1)).join('/');
  if (text.includes('\0')) return { lacks: 'is no text in UTF-8' };
  const lines = await linesOf(text.replace(/^\ufeff/, ''), place.listName);
  const named = await ownLines(lines, place);
  if (named === 'several') return { lacks: `has several files of the name ${wanted}, and does not say which is meant` };
  // A list with one digest describes the file beside it.
  const alone = lines.filter(({ name }) => name === undefined);
  const found = named.length > 0 ? named : lines.length === 1 ? alone : [];
  if (found.length === 0)
    return { lacks: alone.length > 1 ? 'has several digests without names' : `has no checksum of ${wanted}` };
  for (const algorithm of BEST) {
    const digests = new Set(found.filter((line) => line.algorithm === algorithm).map(({ digest }) => digest));
    const [digest] = digests;
    if (digests.size > 1) return { lacks: `has several checksums by ${algorithm} of ${wanted}` };
    if (digest !== undefined) return { checksum: { algorithm, digest } };
  }
  const others = [...new Set(found.map(({ algorithm, digest }) => other(algorithm, digest)))].join(', ');
  return { lacks: `has of ${wanted} only checksums that cannot be computed here: ${others}` };
}

function other(algorithm: Named, { length }: string): string {
  return typeof algorithm === 'object' ? algorithm.unknown : `one of ${String(length)} digits`;
}

async function linesOf(text: string, listName: string): Promise<readonly Line[]> {
  const hint = hintOf(listName);
  const lines: Line[] = [];
  let heading: Named;
  for (let [at, rested] = [0, 0]; at < text.length;) {
    const end = text.indexOf('\n', at);
    const next = end === -1 ? text.length : end;
    if (next - at <= MAX_LINE) {
      const trimmed = text.slice(at, next).trimEnd();
      const [, over] = HEADING.exec(trimmed) ?? [];
      if (over !== undefined) heading = algorithmNamed(over);
      lines.push(...lineOf(trimmed, heading, hint));
    }
    at = next + 1;
    if (at - rested < SLICE.characters) continue;
    rested = at;
    await breathe();
  }
  return lines;
}

function lineOf(line: string, heading: Named, hint: Named): readonly Line[] {
  const [, escaped, digest, name] = GNU.exec(line) ?? [];
  if (digest !== undefined && name !== undefined)
    return [{ ...untagged(digest, heading, hint), name: plain(name, escaped !== '') }];
  const [, quoted, tag, named, value] = BSD.exec(line) ?? [];
  if (tag !== undefined && named !== undefined && value !== undefined)
    return [{ ...tagged(value, algorithmNamed(tag)), name: plain(named, quoted !== '') }];
  return ALONE.test(line) ? [untagged(line, heading, hint)] : [];
}

/** A digest whose length fits its algorithm. */
function tagged(digest: string, algorithm: Named): Line {
  const fits = typeof algorithm === 'object' || byLength(digest, algorithm) === algorithm;
  return { digest: digest.toLowerCase(), algorithm: fits ? algorithm : undefined };
}

function untagged(digest: string, heading: Named, hint: Named): Line {
  if (heading !== undefined) return tagged(digest, heading);
  return { digest: digest.toLowerCase(), algorithm: typeof hint === 'object' ? hint : byLength(digest, hint) };
}

function plain(name: string, escaped: boolean): string {
  return escaped ? name.replace(/\\(.)/g, (_, letter: string) => (letter === 'n' ? '\n' : letter)) : name;
}

/** The lines whose name matches the file best. */
async function ownLines(lines: readonly Line[], { path, below }: ListPlace): Promise<readonly Line[] | 'several'> {
  const found = await inSlices(lines, (line) => {
    // Some lists have additional spaces.
    const exact = componentsOf(line.name ?? '');
    const name = exact.at(-1) === path.at(-1) ? exact : componentsOf((line.name ?? '').trim());
    return name.at(-1) === path.at(-1) && name.length > 0 ? [{ line, name }] : [];
  });
  const inFolders = found.some(({ name }) => name.length > 1);
  const ranked = await inSlices(found, ({ line, name }) => {
    const rank = rankOf(name, path, below, inFolders);
    return rank > 0 ? [{ line, name: name.join('/'), rank }] : [];
  });
  const highest = ranked.reduce((most, { rank }) => Math.max(most, rank), 0);
  const best = ranked.filter(({ rank }) => rank === highest);
  return new Set(best.map(({ name }) => name)).size > 1 ? 'several' : best.map(({ line }) => line);
}

async function inSlices<T, R>(all: readonly T[], each: (one: T) => readonly R[]): Promise<readonly R[]> {
  const results: R[] = [];
  for (const [index, one] of all.entries()) {
    if (index % SLICE.lines === SLICE.lines - 1) await breathe();
    results.push(...each(one));
  }
  return results;
}

/** How well a name matches the file; 0: not at all. */
function rankOf(
  name: readonly string[],
  path: readonly string[],
  below: readonly string[] | undefined,
  inFolders: boolean,
): number {
  if (below !== undefined && isEnd(name, below) && isEnd(below, name)) return Infinity;
  // In a list with folders, a name without one is in the list's own folder.
  if (name.length === 1 && inFolders && below !== undefined) return 0;
  if (isEnd(name, path)) return 1 + name.length;
  // Folders on the host where the list was made.
  return below === undefined || isEnd(below, name) ? 1 : 0;
}

function isEnd(end: readonly string[], path: readonly string[]): boolean {
  return end.length <= path.length && end.every((part, index) => part === path[path.length - end.length + index]);
}

function componentsOf(name: string): readonly string[] {
  return name.split('/').filter((part) => part !== '' && part !== '.');
}
