import type { HttpAnswer } from './http-client.js';

/**
 * A file that changed so shortly before the answer may change again without getting another time
 * (RFC 9110, 8.8.2.2).
 */
const SETTLED_MS = 60_000;
/** nginx makes its tags of the second of the last change, too. */
const TAG_SETTLED_MS = 1000;

type Head = Pick<HttpAnswer, 'header'>;

/** What If-Range takes: a strong ETag, or the time of the last change where that is strong too. */
export function rangeValidator(answer: Head): string | undefined {
  const tag = answer.header('etag');
  if (isStrongTag(tag)) return isSettled(answer, TAG_SETTLED_MS) ? tag : undefined;
  return isSettled(answer, SETTLED_MS) ? timeOf(answer) : undefined;
}

/**
 * What tells whether a content is still the same, where not every byte has to be: weak tags and
 * times too.
 */
export function freshness(answer: Head): string | undefined {
  return isSettled(answer, TAG_SETTLED_MS) ? (answer.header('etag') ?? timeOf(answer)) : undefined;
}

/**
 * Whether a 206 is of the content that If-Range asked for. It need not repeat what was sent with
 * the whole (RFC 9110, 15.3.7): with nothing to compare it says so by being a 206.
 */
export function isSameContent(asked: string, { header }: Head): boolean {
  const theirs = isTag(asked) ? header('etag') : header('last-modified');
  return theirs === undefined || withoutWeakness(theirs) === asked;
}

/** Whether a validator is an ETag, weak or strong, rather than a Last-Modified date. */
export function isTag(validator: string): boolean {
  return /^(?:W\/)?"/.test(validator);
}

/**
 * Whether both are of the same content, where not every byte has to be the same (RFC 9110,
 * 8.8.3.2).
 */
export function isAsFresh(one: string, other: string | undefined): boolean {
  return other !== undefined && withoutWeakness(one) === withoutWeakness(other);
}

function isStrongTag(tag: string | undefined): tag is string {
  return tag !== undefined && /^"[^"]*"$/.test(tag);
}

function withoutWeakness(tag: string): string {
  return tag.replace(/^W\//, '');
}

function timeOf({ header }: Head): string | undefined {
  const changed = header('last-modified');
  return Number.isNaN(Date.parse(changed ?? '')) ? undefined : changed;
}

/** An answer without a Date is from now (RFC 9110, 6.6.1). */
function isSettled({ header }: Head, ms: number): boolean {
  const changed = Date.parse(header('last-modified') ?? '');
  const answered = Date.parse(header('date') ?? '');
  return Number.isNaN(changed) || (Number.isNaN(answered) ? Date.now() : answered) - changed >= ms;
}
