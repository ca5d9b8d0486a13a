import { HostlerError } from '../domain/errors.js';
import type { Answer, RemoteFile, SourceFacts } from '../domain/fetch/ports.js';
import { shown, unavailable, type HttpAnswer, type HttpClient } from './http-client.js';

const NOT_FOUND = [404, 410];
const REFUSED = [401, 403, 407, 451];
/** Whoever says so may say something else in a while. */
const PASSING = [408, 425, 429];
const SERVER_ERRORS = 500;
const PARTIAL = 206;
const RANGE_WRONG = 416;
const NOT_MODIFIED = 304;
const SECOND_MS = 1000;
const MAX_RETRY_AFTER_MS = 60_000;
const FIRST_BYTE = { 'accept-encoding': 'identity', range: 'bytes=0-0' };

/** A file at a web server. */
export class HttpFile implements RemoteFile {
  constructor(
    private readonly client: HttpClient,
    private readonly url: URL,
    private readonly headers: Readonly<Record<string, string>>,
  ) {}

  describe(): Promise<SourceFacts> {
    return Promise.resolve({});
  }

  async read(
    { offset, validator }: { readonly offset: bigint; readonly validator?: string },
    signal: AbortSignal,
  ): Promise<Answer> {
    const wanted = { 'accept-encoding': 'identity', ...rangeOf(offset, validator) };
    const answer = await this.client.get(this.url, this.headers, wanted, signal);
    if (answer.status === RANGE_WRONG && offset > 0n) {
      // It has no such offset any more: from the beginning.
      answer.discard();
      return this.read({ offset: 0n }, signal);
    }
    assertGood(answer, this.url);
    return answerOf(answer, this.url);
  }

  async isStill(validator: string, signal: AbortSignal): Promise<boolean> {
    const answer = await this.client.get(this.url, this.headers, unless(validator), signal);
    answer.discard();
    if (answer.status === NOT_MODIFIED) return true;
    assertGood(answer, this.url);
    return validatorOf(answer) === validator;
  }

  async assertGiven(validator: string | undefined, signal: AbortSignal): Promise<void> {
    const asked = validator === undefined ? FIRST_BYTE : unless(validator);
    const answer = await this.client.get(this.url, this.headers, asked, signal);
    answer.discard();
    // Of an empty file there is no first byte.
    if (answer.status !== NOT_MODIFIED && answer.status !== RANGE_WRONG) assertGood(answer, this.url);
  }
}

/** Asks for it only if it is another content by now. */
function unless(validator: string): Record<string, string> {
  return validator.startsWith('"') ? { 'if-none-match': validator } : { 'if-modified-since': validator };
}

function rangeOf(offset: bigint, validator: string | undefined): Record<string, string> {
  if (offset === 0n) return {};
  return { range: `bytes=${String(offset)}-`, ...(validator === undefined ? {} : { 'if-range': validator }) };
}

function answerOf(answer: HttpAnswer, url: URL): Answer {
  const { header, status, body, discard } = answer;
  const validator = validatorOf(answer);
  const webPage = /^text\/html\b/i.test(header('content-type') ?? '');
  const common = { webPage, body, discard, ...(validator === undefined ? {} : { validator }) };
  if (status !== PARTIAL) {
    const length = header('content-length');
    return { ...common, offset: 0n, ...(length === undefined ? {} : { totalBytes: BigInt(length) }) };
  }
  const [, from, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(header('content-range') ?? '') ?? [];
  if (from === undefined) throw unavailable(url, 'a part without a Content-Range that can be read');
  return {
    ...common,
    offset: BigInt(from),
    ...(total === undefined || total === '*' ? {} : { totalBytes: BigInt(total) }),
  };
}

/**
 * What If-Range takes: a strong ETag, or the time of the last change. Neither of a file that changed in the second of the answer: that time, of
 * which nginx makes its tags too, would not tell a second change from the first (RFC 9110, 8.8.2.2).
 */
function validatorOf({ header }: HttpAnswer): string | undefined {
  const [changed, answered] = [header('last-modified'), header('date')].map((text) => Date.parse(text ?? ''));
  if (changed !== undefined && answered !== undefined && answered - changed < SECOND_MS) return undefined;
  const tag = header('etag');
  return tag?.startsWith('"') === true ? tag : header('last-modified');
}

/** Fails with SOURCE_NOT_FOUND, SOURCE_REFUSED, SOURCE_UNAVAILABLE. */
export function assertGood(answer: HttpAnswer, url: URL): void {
  const { status, header } = answer;
  if (status >= 200 && status < 300) return;
  answer.discard();
  const facts = { source: shown(url), status: String(status) };
  const message = `${shown(url)} answers ${String(status)}`;
  if (NOT_FOUND.includes(status)) throw new HostlerError('SOURCE_NOT_FOUND', message, { facts });
  if (REFUSED.includes(status)) throw new HostlerError('SOURCE_REFUSED', message, { facts });
  // Others that speak of the request will say the same the next time.
  if (status < SERVER_ERRORS && !PASSING.includes(status)) throw new HostlerError('SOURCE_REFUSED', message, { facts });
  throw new HostlerError('SOURCE_UNAVAILABLE', message, { facts, ...retryAfter(header('retry-after')) });
}

function retryAfter(text: string | undefined): { readonly retryAfterMs?: number } {
  if (text === undefined || !/^\d+(?:\.\d+)?$/.test(text)) return {};
  return { retryAfterMs: Math.min(MAX_RETRY_AFTER_MS, Math.ceil(Number(text) * 1000)) };
}
