import type { HttpAnswer } from './http-client.js';

/**
 * A file that changed less than a minute before the answer may change again with the same timestamp
 * (RFC 9110, 8.8.2.2).
 */
const SETTLED_MS = 60_000;
/** nginx derives its ETags from the second of the last change, so they have the same limit. */
const TAG_SETTLED_MS = 1000;

type Head = Pick<HttpAnswer, 'header'>;

/** A validator for If-Range: a strong ETag, or the Last-Modified date if it is strong as well. */
export function rangeValidator(answer: Head): string | undefined {
  const tag = answer.header('etag');
  if (isStrongTag(tag)) return isSettled(answer, TAG_SETTLED_MS) ? tag : undefined;
  return isSettled(answer, SETTLED_MS) ? timeOf(answer) : undefined;
}

/**
 * A validator that tells whether the content is still the same, where equality of every byte is not
 * required: weak ETags and dates too.
 */
export function freshness(answer: Head): string | undefined {
  return isSettled(answer, TAG_SETTLED_MS) ? (answer.header('etag') ?? timeOf(answer)) : undefined;
}

/**
 * Whether a 206 is of the content that If-Range asked for. It need not repeat headers of the full
 * answer (RFC 9110, 15.3.7): without a validator to compare, the status 206 itself says so.
 */
export function isSameContent(asked: string, { header }: Head): boolean {
  const theirs = isTag(asked) ? header('etag') : header('last-modified');
  return theirs === undefined || withoutWeakness(theirs) === asked;
}

/** Whether a validator is an ETag, weak or strong, rather than a Last-Modified date. */
export function isTag(validator: string): boolean {
  return /^(?:W\/)?"/.test(validator);
}

/** Whether both validators are of the same content, by weak comparison (RFC 9110, 8.8.3.2). */
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

/** An answer without a Date counts as created now (RFC 9110, 6.6.1). */
function isSettled({ header }: Head, ms: number): boolean {
  const changed = Date.parse(header('last-modified') ?? '');
  const answered = Date.parse(header('date') ?? '');
  return Number.isNaN(changed) || (Number.isNaN(answered) ? Date.now() : answered) - changed >= ms;
}
