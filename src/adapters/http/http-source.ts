import { HostlerError } from '../../domain/model/errors.js';
import { checksumIn, type ListPlace } from '../../domain/fetch/checksum-list.js';
import type { SourceAnswer, RemoteFile, SourceFacts, WantedBytes } from '../../domain/ports/sources.js';
import { behind, exactly, nothing } from './bodies.js';
import { codingsOf, decoded } from './content-coding.js';
import { lengthOf416, contentRangeOf, type ContentRange } from './content-range.js';
import { freshness, isAsFresh, isSameContent, isTag, rangeValidator } from './validators.js';
import { shown, unavailable, type HttpAnswer, type HttpClient } from './http-client.js';
import type { ExpectedChecksum } from '../../domain/model/checksum.js';

const WITH_CONTENT = [200, 203, 206];
const NOT_FOUND = [404, 410];
const REFUSED = [401, 403, 407, 451];
/** Temporary statuses: a later request may get another answer. */
const PASSING = [408, 425, 429];
const SERVER_ERRORS = 500;
const PARTIAL = 206;
const RANGE_WRONG = 416;
const NOT_MODIFIED = 304;
const MAX_LIST_BYTES = 1024 * 1024;
const MAX_RETRY_AFTER_MS = 60_000;
const PLAIN = { 'accept-encoding': 'identity' };
const FIRST_BYTE = { ...PLAIN, range: 'bytes=0-0' };

/** A file on a web server. */
export class HttpFile implements RemoteFile {
  constructor(
    private readonly client: HttpClient,
    private readonly url: URL,
    private readonly headers: Readonly<Record<string, string>>,
    /** URL of a list of checksums. */
    private readonly checksumUrl?: string,
  ) {}

  async describe(signal: AbortSignal): Promise<SourceFacts> {
    if (this.checksumUrl === undefined) return {};
    return { checksum: await this.#listed(new URL(this.checksumUrl), signal) };
  }

  /** The caller's secrets are sent to the origin of the file and to no other. */
  async #listed(list: URL, signal: AbortSignal): Promise<ExpectedChecksum> {
    const headers = list.origin === this.url.origin ? this.headers : {};
    const answer = await this.client.get(list, headers, PLAIN, signal);
    assertGood(answer, list);
    const text = await textOf(answer, list);
    const found = await checksumIn(text, placeOf(this.url, list));
    if ('checksum' in found) return found.checksum;
    throw new HostlerError('SOURCE_NOT_FOUND', `${shown(list)} ${found.lacks}`, {
      facts: { source: shown(list), name: componentsOf(this.url).at(-1) ?? '' },
    });
  }

  async read(from: WantedBytes, signal: AbortSignal): Promise<SourceAnswer> {
    const answer = await this.client.get(this.url, this.headers, { ...PLAIN, ...rangeOf(from) }, signal);
    const { offset } = from;
    if (answer.status === RANGE_WRONG && offset > 0n) {
      answer.discard();
      // Nothing is missing, or the file no longer has this offset.
      if (isTheEnd(answer, from)) return theEnd(from);
      return this.read({ offset: 0n }, signal);
    }
    assertGood(answer, this.url);
    assertPlain(answer, this.url);
    const found = answer.status === PARTIAL ? partOf(answer, from, this.url) : wholeOf(answer, this.url);
    if (found !== undefined) return found;
    // The partial answer cannot be used.
    answer.discard();
    if (offset > 0n) return this.read({ offset: 0n }, signal);
    throw unavailable(this.url, 'a part of the content was sent, and the whole was asked for');
  }

  async isStill(validator: string, signal: AbortSignal): Promise<boolean> {
    const tagged = isTag(validator);
    // If-Modified-Since would get the same answer for every older file, and a query may name
    // another caller's.
    const asked = tagged ? { ...PLAIN, 'if-none-match': validator } : FIRST_BYTE;
    const answer = await this.client.get(this.url, this.headers, asked, signal);
    answer.discard();
    if (tagged && answer.status === NOT_MODIFIED) return true;
    // An empty file has no first byte.
    if (answer.status !== RANGE_WRONG) assertGood(answer, this.url);
    return isAsFresh(validator, freshness(answer));
  }
}

/** The text of a checksum list, which may be encoded. Its length is limited. */
async function textOf(answer: HttpAnswer, url: URL): Promise<string> {
  const { body } = wholeOf(answer, url);
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of body) {
    bytes += piece.length;
    if (bytes > MAX_LIST_BYTES) throw unavailable(url, 'it is longer than any list of checksums');
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

/** The location of the file as a checksum list names it. */
function placeOf(url: URL, list: URL): ListPlace {
  const [path, listed] = [componentsOf(url), componentsOf(list)];
  const folder = listed.slice(0, -1);
  const below = url.origin === list.origin && folder.every((part, index) => part === path[index]);
  const listName = listed.at(-1) ?? '';
  return { path, listName, ...(below && path.length > folder.length ? { below: path.slice(folder.length) } : {}) };
}

function componentsOf({ pathname }: URL): readonly string[] {
  return pathname
    .split('/')
    .filter((part) => part !== '')
    .map(componentOf);
}

function componentOf(encoded: string): string {
  try {
    return decodeURIComponent(encoded);
  } catch {
    return encoded; // not UTF-8, so a list can only name it in its encoded form
  }
}

function rangeOf({ offset, validator }: WantedBytes): Record<string, string> {
  if (offset === 0n) return {};
  return { range: `bytes=${String(offset)}-`, ...(validator === undefined ? {} : { 'if-range': validator }) };
}

/** Node does not decode a transfer coding other than `chunked`, and the request asked for none. */
function assertPlain(answer: HttpAnswer, url: URL): void {
  const coding = answer.header('transfer-encoding') ?? 'chunked';
  if (coding.trim().toLowerCase() === 'chunked') return;
  answer.discard();
  throw refused(url, `the answer comes in the transfer coding ${coding}, which nobody asked for`);
}

function wholeOf(answer: HttpAnswer, url: URL): SourceAnswer {
  const { header, hasEnd, discard, receivedBytes } = answer;
  const codings = codingsOf(answer, url);
  if (codings === undefined) {
    discard();
    throw refused(url, `the answer has the content coding ${header('content-encoding') ?? ''}, which nobody asked for`);
  }
  const webPage = /^text\/html\b/i.test(header('content-type') ?? '');
  const common = { offset: 0n, ends: hasEnd ? 'whole' : 'line', webPage, discard, receivedBytes } as const;
  const fresh = optional('freshness', freshness(answer));
  // Offsets of encoded content count its encoded bytes.
  if (codings.length > 0)
    return { ...common, ...fresh, body: decodedBody(decoded(answer.body, codings), url), resumable: false };
  // Chunks take precedence over a length (RFC 9112, 6.3).
  const length = header('transfer-encoding') === undefined ? header('content-length') : undefined;
  if (length !== undefined && !/^\d{1,19}$/.test(length)) {
    discard();
    throw unavailable(url, `the answer has the length ${length}`);
  }
  return {
    ...common,
    ...fresh,
    ...optional('validator', rangeValidator(answer)),
    ...(length === undefined ? {} : { totalBytes: BigInt(length) }),
    body: answer.body,
    resumable: true,
  };
}

/** The answer if it is a usable part from the requested offset; otherwise undefined. */
function partOf(answer: HttpAnswer, wanted: WantedBytes, url: URL): SourceAnswer | undefined {
  const { body, discard, receivedBytes, header } = answer;
  const range = contentRangeOf(answer) ?? restOf(answer, wanted);
  const encoded = codingsOf(answer, url)?.length !== 0;
  if (range === undefined || range.offset > wanted.offset || range.end <= wanted.offset || encoded) return undefined;
  const { offset, end, totalBytes } = range;
  const { validator } = wanted;
  const same = validator !== undefined && isSameContent(validator, answer);
  const whole = exactly(body, end - offset, (came) =>
    unavailable(url, `a part of ${String(end - offset)} bytes was announced, and ${String(came)} arrived`),
  );
  return {
    offset: wanted.offset,
    ends: 'part',
    webPage: /^text\/html\b/i.test(header('content-type') ?? ''),
    ...optional('totalBytes', totalBytes),
    ...optional('validator', same ? validator : rangeValidator(answer)),
    ...optional('freshness', freshness(answer)),
    body: behind(whole, wanted.offset - offset),
    resumable: true,
    discard,
    receivedBytes,
  };
}

/**
 * A part that does not declare its start, but is of the same content and exactly as long as the
 * rest.
 */
function restOf(answer: HttpAnswer, { offset, validator, totalBytes }: WantedBytes): ContentRange | undefined {
  const length = answer.header('content-length');
  if (length === undefined || totalBytes === undefined || validator === undefined) return undefined;
  if (answer.header('etag') !== validator || answer.header('content-range') !== undefined) return undefined;
  return offset + BigInt(length) === totalBytes ? { offset, end: totalBytes, totalBytes } : undefined;
}

/**
 * Whether nothing is missing: the content is as long as the received bytes, and no header says that
 * it is another content.
 */
function isTheEnd(answer: HttpAnswer, { offset, validator, totalBytes }: WantedBytes): boolean {
  const same = validator === undefined || isSameContent(validator, answer);
  return same && lengthOf416(answer) === offset && (totalBytes ?? offset) === offset;
}

/** The answer for a file whose bytes have all arrived. */
function theEnd({ offset, validator }: WantedBytes): SourceAnswer {
  const common = { offset, totalBytes: offset, ends: 'whole', webPage: false, resumable: true } as const;
  return {
    ...common,
    ...optional('validator', validator),
    body: nothing(),
    discard: () => undefined,
    receivedBytes: () => 0,
  };
}

function optional<K extends string, V>(key: K, value: V | undefined): Partial<Record<K, V>> {
  const found: Partial<Record<K, V>> = {};
  if (value !== undefined) found[key] = value;
  return found;
}

/** An error of the decoder is an error of the source. */
async function* decodedBody(body: AsyncIterable<Uint8Array>, url: URL): AsyncGenerator<Uint8Array, void> {
  try {
    yield* body;
  } catch (error) {
    if (error instanceof HostlerError) throw error;
    throw unavailable(url, 'what was sent is not encoded as the answer says', error);
  }
}

function refused(url: URL, why: string): HostlerError {
  return new HostlerError('SOURCE_REFUSED', `${shown(url)}: ${why}`, { facts: { source: shown(url) } });
}

/** Fails with SOURCE_NOT_FOUND, SOURCE_REFUSED, SOURCE_UNAVAILABLE. */
export function assertGood(answer: HttpAnswer, url: URL): void {
  const { status } = answer;
  if (WITH_CONTENT.includes(status)) return;
  answer.discard();
  const facts = { source: shown(url), status: String(status) };
  const message = `${shown(url)} answers ${String(status)}`;
  if (NOT_FOUND.includes(status)) throw new HostlerError('SOURCE_NOT_FOUND', message, { facts });
  if (REFUSED.includes(status)) throw new HostlerError('SOURCE_REFUSED', message, { facts });
  // Other 4xx statuses will not change with a retry.
  if (status < SERVER_ERRORS && !PASSING.includes(status)) throw new HostlerError('SOURCE_REFUSED', message, { facts });
  throw new HostlerError('SOURCE_UNAVAILABLE', message, { facts, ...retryAfter(answer) });
}

/** Seconds, or a date (RFC 9110, 10.2.3), which is by the server's clock. */
function retryAfter({ header }: HttpAnswer): { readonly retryAfterMs?: number } {
  const text = header('retry-after') ?? '';
  const ms = /^\d+(?:\.\d+)?$/.test(text) ? Number(text) * 1000 : timeOf(text) - now(header('date'));
  return Number.isNaN(ms) ? {} : { retryAfterMs: Math.min(MAX_RETRY_AFTER_MS, Math.max(0, Math.ceil(ms))) };
}

function now(date = ''): number {
  const time = timeOf(date);
  return Number.isNaN(time) ? Date.now() : time;
}

/** The oldest of the three date formats has no time zone. NaN if the text is none of them. */
function timeOf(text: string): number {
  return /\d\d:\d\d:\d\d/.test(text) ? Date.parse(/GMT$/.test(text) ? text : `${text} GMT`) : Number.NaN;
}
