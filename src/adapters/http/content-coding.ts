/** Undoes Content-Encoding (RFC 9110, 8.4) of servers that encode although they were asked not to. */
import { Readable, type Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createBrotliDecompress, createGunzip, createInflate, createInflateRaw, createZstdDecompress } from 'node:zlib';
import type { HttpAnswer } from '../http-client.js';

type Body = AsyncIterable<Uint8Array>;

const CODINGS = ['gzip', 'deflate', 'br', 'zstd'] as const;
export type Coding = (typeof CODINGS)[number];

const NAMES: ReadonlyMap<string, Coding> = new Map([
  ...CODINGS.map((name) => [name, name] as const),
  ['x-gzip', 'gzip'],
]);
/** `aws-chunked` is how an object was uploaded; some stores repeat it of what they send as it is. */
const AS_IT_IS = ['', 'identity', 'aws-chunked'];
/** Two are a proxy behind a server that encodes; more are no honest answer. */
const MOST = 2;
/** Files that are compressed themselves, which some servers call encoded. */
const OWN: Readonly<Record<Coding, RegExp>> = {
  gzip: /\.t?gz$/i,
  deflate: /\.(?:zz|deflate)$/i,
  br: /\.br$/i,
  zstd: /\.t?zst(?:d)?$/i,
};
/** The low half of zlib's first byte (RFC 1950); without it the coding is deflate alone, as some servers have it. */
const ZLIB_METHOD = 8;

/** How the content from this address was encoded, in that order; undefined where that cannot be undone. None where the encoding is the file's own. */
export function codingsOf({ header }: Pick<HttpAnswer, 'header'>, { pathname }: URL): readonly Coding[] | undefined {
  const words = (header('content-encoding') ?? '').split(',').map((word) => word.trim().toLowerCase());
  const codings = words.filter((word) => !AS_IT_IS.includes(word)).map((word) => NAMES.get(word));
  const known = codings.filter((coding) => coding !== undefined);
  if (known.length < codings.length || known.length > MOST) return undefined;
  const [only] = known;
  return known.length === 1 && only !== undefined && OWN[only].test(pathname) ? [] : known;
}

/** The content as it was before. What reads it bounds it: it is made as it is read. Fails where it is not so encoded, or cut. */
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
  decoder.on('error', () => undefined); // heard below; zstd's may come behind the end
  let came = 0;
  const source = Readable.from(again(first.value, pieces, (bytes) => (came += bytes)));
  const piping = pipeline(source, decoder);
  piping.catch(() => undefined); // heard below
  try {
    const made: AsyncIterable<Buffer> = decoder;
    yield* made;
    await piping;
    // All but gzip end at their first stream, and leave what comes behind it.
    if (decoder.bytesWritten !== came) throw new Error(`bytes behind the end of the ${coding}`);
  } finally {
    decoder.destroy();
    source.destroy();
    await pieces.return?.();
  }
}

async function* again(
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
