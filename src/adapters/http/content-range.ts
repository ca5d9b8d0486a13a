import type { HttpAnswer } from './http-client.js';

/** Which bytes of a content an answer holds. */
export interface ContentRange {
  readonly offset: bigint;
  /** Behind the last byte. */
  readonly end: bigint;
  /** Of the whole content; unset: the server does not know, or does not say. */
  readonly totalBytes?: bigint;
}

/** Units have any case (RFC 9110, 14.1). */
const RANGE = /^bytes[ \t]+(\d{1,19})[ \t]*-[ \t]*(\d{1,19})[ \t]*\/[ \t]*(\d{1,19}|\*)$/i;
const LENGTH_ONLY = /^bytes[ \t]+\*[ \t]*\/[ \t]*(\d{1,19})$/i;

/** What a 206 says that it holds; undefined where it says nothing, or what cannot be. */
export function contentRangeOf({ header }: Pick<HttpAnswer, 'header'>): ContentRange | undefined {
  const [, first, last, total] = RANGE.exec(header('content-range') ?? '') ?? [];
  if (first === undefined || last === undefined || total === undefined) return undefined;
  const [offset, end] = [BigInt(first), BigInt(last) + 1n];
  if (end <= offset) return undefined;
  if (total === '*') return { offset, end };
  return end <= BigInt(total) ? { offset, end, totalBytes: BigInt(total) } : undefined;
}

/** How long the content is by an answer 416; undefined where it does not say so. */
export function lengthOf416({ header }: Pick<HttpAnswer, 'header'>): bigint | undefined {
  const [, total] = LENGTH_ONLY.exec(header('content-range') ?? '') ?? [];
  return total === undefined ? undefined : BigInt(total);
}
