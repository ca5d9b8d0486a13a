import { DIGEST_DIGITS, type ExpectedChecksum } from '../model/checksum.js';

type Algorithm = ExpectedChecksum['algorithm'];

/** A supported algorithm, or the name of another one; undefined: it is not stated. */
export type Named = Algorithm | { readonly unknown: string } | undefined;

const BY_NAME: ReadonlyMap<string, Algorithm> = new Map([
  ['md5', 'md5'],
  ['sha1', 'sha1'],
  ['sha256', 'sha256'],
  // OpenSSL 3 puts the family in front.
  ['sha2256', 'sha256'],
  ['sha512', 'sha512'],
  ['sha2512', 'sha512'],
  ['sha224', 'sha224'],
  ['sha2224', 'sha224'],
  ['sha384', 'sha384'],
  ['sha2384', 'sha384'],
  ['sha3224', 'sha3-224'],
  ['sha3256', 'sha3-256'],
  ['sha3384', 'sha3-384'],
  ['sha3512', 'sha3-512'],
  ['blake2b', 'blake2b512'],
  ['blake2b512', 'blake2b512'],
  ['blake2', 'blake2b512'],
  ['b2', 'blake2b512'],
  ['blake2s', 'blake2s256'],
  ['blake2s256', 'blake2s256'],
]);
/**
 * Algorithms in the name of a list; others, whose digests can be as long as those of SHA-2, are
 * recognised too.
 */
const IN_NAMES =
  /sha3[-_]?\d{3}|sha512[-_]?(?:t|256|224)|sha2?[-_]?\d{1,3}|md5|blake2[bs]?|blake3|b[23](?=sums?|$)|sm3|whirlpool|streebog\d*|skein\d*|(?:rmd|ripemd)[-_]?160/gi;
/** The algorithm of a digest that names none: others are always named. */
const BY_LENGTH: ReadonlyMap<number, Algorithm> = new Map([
  [32, 'md5'],
  [40, 'sha1'],
  [56, 'sha224'],
  [96, 'sha384'],
  [64, 'sha256'],
  [128, 'sha512'],
]);

/**
 * The algorithm of a name such as SHA256, sha-256 or blake2b512; `unknown` with the name for
 * others.
 */
export function algorithmNamed(name: string): Exclude<Named, undefined> {
  // `SHA512/256` is neither of the two.
  return BY_NAME.get(name.toLowerCase().replaceAll(/[-_]/g, '')) ?? { unknown: name };
}

/**
 * The algorithm in the name of a list; the last match counts, because the name of an image may come
 * before it.
 */
export function hintOf(listName: string): Named {
  const word = listName.match(IN_NAMES)?.at(-1);
  return word === undefined ? undefined : algorithmNamed(word);
}

/**
 * The algorithm of a digest: the named one if the length fits, otherwise the one with this length.
 */
export function byLength({ length }: string, hint: Algorithm | undefined): Algorithm | undefined {
  return hint !== undefined && DIGEST_DIGITS[hint] === length ? hint : BY_LENGTH.get(length);
}
