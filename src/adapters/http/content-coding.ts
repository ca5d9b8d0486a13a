/**
 * Decodes Content-Encoding (RFC 9110, 8.4) of servers that encode although they were asked not to.
 */
import { Readable, type Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createBrotliDecompress, createGunzip, createInflate, createInflateRaw, createZstdDecompress } from 'node:zlib';
import type { HttpAnswer } from './http-client.js';

type Body = AsyncIterable<Uint8Array>;

const CODINGS = ['gzip', 'deflate', 'br', 'zstd'] as const;
export type Coding = (typeof CODINGS)[number];

const NAMES: ReadonlyMap<string, Coding> = new Map([
  ...CODINGS.map((name) => [name, name] as const),
  ['x-gzip', 'gzip'],
  ['x-zstd', 'zstd'],
]);
/**
 * Values that mean "unchanged". `aws-chunked` is how an object was uploaded; some stores repeat it
 * for content that they send unchanged. Others are a charset or a mail encoding in the wrong field.
 */
const AS_IT_IS = ['', 'identity', 'none', 'binary', '8bit', '7bit', 'utf-8', 'utf8', 'us-ascii', 'aws-chunked'];
/** Two codings occur with a proxy in front of a server that encodes; no honest server uses more. */
const MOST = 2;
/** Names of compressed files that some servers declare as encoded content. */
const OWN: Readonly<Record<Coding, RegExp>> = {
  gzip: /\.t?gz$/i,
  deflate: /\.(?:zz|deflate)$/i,
  br: /\.br$/i,
  zstd: /\.t?zst(?:d)?$/i,
};
/** The same for compressions that are not content codings. */
const OWN_ONLY: readonly (readonly [RegExp, RegExp])[] = [
  [/^(?:x-)?xz$/, /\.t?xz$/i],
  [/^(?:x-)?(?:bzip2|bz2)$/, /\.(?:bz2|tbz2?)$/i],
  [/^(?:x-)?lzma$/, /\.(?:lzma|tlz)$/i],
  [/^(?:x-)?lz4$/, /\.lz4$/i],
];
const FILE_NAME = /\bfilename\*?\s*=\s*(?:[\w-]+'[\w-]*')?"?([^";]+)/i;
/**
 * The low half of zlib's first byte (RFC 1950). Without it the content is raw deflate, as some
 * servers send it.
 */
const ZLIB_METHOD = 8;

/**
 * The codings of the content, in the order of their use; undefined if one of them cannot be
 * decoded. Empty if the coding is part of the file itself, judged by its names: the one in the
 * request, the one that redirects led to, and the one in the answer.
 */
export function codingsOf(
  { header, url: found }: Pick<HttpAnswer, 'header' | 'url'>,
  asked: URL,
): readonly Coding[] | undefined {
  const all = (header('content-encoding') ?? '').split(',').map((word) => word.trim().toLowerCase());
  const words = all.filter((word) => !AS_IT_IS.includes(word));
  const [, given = ''] = FILE_NAME.exec(header('content-disposition') ?? '') ?? [];
  const names = [asked.pathname, found.pathname, given.trimEnd()];
  const [word = ''] = words;
  if (words.length === 1 && names.some((name) => isOwn(word, name))) return [];
  const codings = words.map((each) => NAMES.get(each)).filter((coding) => coding !== undefined);
  return codings.length < words.length || codings.length > MOST ? undefined : codings;
}

function isOwn(word: string, name: string): boolean {
  const coding = NAMES.get(word);
  if (coding !== undefined) return OWN[coding].test(name);
  return OWN_ONLY.some(([words, names]) => words.test(word) && names.test(name));
}

/**
 * The decoded content, produced as it is read; the reader has to limit its size. Fails if the
 * content is not encoded like this, or is truncated.
 */
export async function* decoded(body: Body, codings: readonly Coding[]): AsyncGenerator<Uint8Array, void> {
  let content = body;
  for (const coding of codings.toReversed()) content = undone(content, coding);
  yield* content;
}

async function* undone(body: Body, coding: Coding): AsyncGenerator<Uint8Array, void> {
  const pieces = body[Symbol.asyncIterator]();
  const first = await pieces.next();
  if (first.done === true) return;
  const decoder = decoderOf(coding, first.value[0] ?? 0);
  decoder.on('error', () => undefined); // thrown by the loop below; zstd may report one after the end
  let came = 0;
  const source = Readable.from(withFirst(first.value, pieces, (bytes) => (came += bytes)));
  const piping = pipeline(source, decoder);
  piping.catch(() => undefined); // avoids unhandledRejection; awaited below
  try {
    const made: AsyncIterable<Buffer> = decoder;
    yield* made;
    await piping;
    // All decoders except gzip stop at the end of their first stream and ignore the bytes after it.
    if (decoder.bytesWritten !== came) throw new Error(`bytes behind the end of the ${coding}`);
  } finally {
    decoder.destroy();
    source.destroy();
    await pieces.return?.();
  }
}

async function* withFirst(
  first: Uint8Array,
  rest: AsyncIterator<Uint8Array>,
  onBytes: (bytes: number) => void,
): AsyncGenerator<Uint8Array, void> {
  onBytes(first.length);
  yield first;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) {
    onBytes(next.value.length);
    yield next.value;
  }
}

function decoderOf(coding: Coding, first: number): Transform & { readonly bytesWritten: number } {
  switch (coding) {
    case 'gzip':
      return createGunzip();
    case 'br':
      return createBrotliDecompress();
    case 'zstd':
      return createZstdDecompress();
    case 'deflate':
      return (first & 0x0f) === ZLIB_METHOD ? createInflate() : createInflateRaw();
  }
}
