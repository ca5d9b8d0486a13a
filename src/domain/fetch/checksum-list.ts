/** Files such as SHA256SUMS: of coreutils (`DIGEST  NAME`), of BSD (`SHA256 (NAME) = DIGEST`), or a digest alone. */
import type { ExpectedChecksum } from './ports.js';

type Algorithm = ExpectedChecksum['algorithm'];

/** Best first. */
const BEST: readonly Algorithm[] = ['sha512', 'blake2b512', 'sha256', 'sha1', 'md5'];
/** A digest without a name for its algorithm says which one by its length; of 128 digits it may be two. */
const BY_LENGTH: ReadonlyMap<number, Algorithm> = new Map([
  [32, 'md5'],
  [40, 'sha1'],
  [64, 'sha256'],
  [128, 'sha512'],
]);
const BY_TAG: ReadonlyMap<string, Algorithm> = new Map([
  ['md5', 'md5'],
  ['sha1', 'sha1'],
  ['sha256', 'sha256'],
  ['sha512', 'sha512'],
  ['blake2b', 'blake2b512'],
]);
/** With a backslash in front, `\\` and `\n` in the name stand for others (sha256sum(1)). */
const GNU = /^(\\?)([0-9a-fA-F]{32,128})(?: [ *]|\t)(.+)$/;
const BSD = /^(\\?)([A-Za-z0-9-]+) ?\((.+)\) ?= ?([0-9a-fA-F]{32,128})$/;
const ALONE = /^[0-9a-fA-F]{32,128}$/;

interface Line extends ExpectedChecksum {
  readonly name?: string;
}

/**
 * The best checksum that a list has for a file, named as a list beside it names it; undefined: it has none. `listName` tells BLAKE2 from
 * SHA-512, which have digests of one length.
 */
export function checksumIn(text: string, name: string, listName: string): ExpectedChecksum | undefined {
  const lines = text.split(/\r?\n/).map((line) => lineOf(line.trimEnd(), /b2sum|blake2/i.test(listName)));
  const found = lines.filter((line) => line !== undefined);
  const named = found.filter((line) => line.name !== undefined && isNamed(line.name, name));
  // A list of one digest is of the file beside it.
  const alone = found.length === 1 ? found.filter((line) => line.name === undefined) : [];
  const [best] = [...named, ...alone].sort((a, b) => BEST.indexOf(a.algorithm) - BEST.indexOf(b.algorithm));
  return best === undefined ? undefined : { algorithm: best.algorithm, digest: best.digest };
}

function lineOf(line: string, blake2: boolean): Line | undefined {
  const [, escaped, digest, name] = GNU.exec(line) ?? [];
  if (digest !== undefined && name !== undefined) return made(digest, blake2, plain(name, escaped !== ''));
  const [, quoted, tag, named, value] = BSD.exec(line) ?? [];
  if (tag !== undefined && named !== undefined && value !== undefined) {
    const algorithm = BY_TAG.get(tag.toLowerCase().replace(/^sha-/, 'sha'));
    const right =
      algorithm !== undefined && made(value, algorithm === 'blake2b512', undefined)?.algorithm === algorithm;
    return right ? { algorithm, digest: value.toLowerCase(), name: plain(named, quoted !== '') } : undefined;
  }
  return ALONE.test(line) ? made(line, blake2, undefined) : undefined;
}

function made(digest: string, blake2: boolean, name: string | undefined): Line | undefined {
  const byLength = BY_LENGTH.get(digest.length);
  if (byLength === undefined) return undefined;
  const algorithm = byLength === 'sha512' && blake2 ? 'blake2b512' : byLength;
  return { algorithm, digest: digest.toLowerCase(), ...(name === undefined ? {} : { name }) };
}

function plain(name: string, escaped: boolean): string {
  return escaped ? name.replace(/\\(.)/g, (_, letter: string) => (letter === 'n' ? '\n' : letter)) : name;
}

/** Lists name files with or without their folders; some have more spaces than they should. */
function isNamed(path: string, name: string): boolean {
  const last = path.slice(path.lastIndexOf('/') + 1);
  return last === name || last.trim() === name;
}
