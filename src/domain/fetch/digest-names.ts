/** How lists call the algorithms of their digests. */
import type { ExpectedChecksum } from './ports.js';

type Algorithm = ExpectedChecksum['algorithm'];

/** An algorithm, as far as it is one of ours; undefined: nothing says which it is. */
export type Named = Algorithm | { readonly unknown: string } | undefined;

const BY_NAME: ReadonlyMap<string, Algorithm> = new Map([
  ['md5', 'md5'],
  ['sha1', 'sha1'],
  ['sha256', 'sha256'],
  // OpenSSL 3 has the family in front.
  ['sha2256', 'sha256'],
  ['sha512', 'sha512'],
  ['sha2512', 'sha512'],
  ['blake2b', 'blake2b512'],
  ['blake2b512', 'blake2b512'],
  ['blake2', 'blake2b512'],
  ['b2', 'blake2b512'],
]);
/** In the name of a list; digests of others are as long as those of SHA. */
const IN_NAMES =
  /sha3[-_]?\d{3}|sha512[-_]?(?:t|256|224)|sha2?[-_]?\d{1,3}|md5|blake2[bs]?|blake3|b[23](?=sums?|$)|sm3|whirlpool|streebog\d*|skein\d*|(?:rmd|ripemd)[-_]?160/gi;
/** What a digest is that comes without a name; of 128 digits it may be two, so that one has to be named. */
const BY_LENGTH: ReadonlyMap<number, Algorithm> = new Map([
  [32, 'md5'],
  [40, 'sha1'],
  [64, 'sha256'],
  [128, 'sha512'],
]);

export function algorithmNamed(name: string): Exclude<Named, undefined> {
  // `SHA512/256` is none of the two.
  return BY_NAME.get(name.toLowerCase().replaceAll(/[-_]/g, '')) ?? { unknown: name };
}

/** What the name of a list says of its digests; the last word counts: before it there may be the name of an image. */
export function hintOf(listName: string): Named {
  const word = listName.match(IN_NAMES)?.at(-1);
  return word === undefined ? undefined : algorithmNamed(word);
}

/** The algorithm of a digest by its length; only BLAKE2 has to be told. */
export function byLength({ length }: string, hint: Algorithm | undefined): Algorithm | undefined {
  const found = BY_LENGTH.get(length);
  return found === 'sha512' && hint === 'blake2b512' ? hint : found;
}
