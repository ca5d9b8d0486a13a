import type { HttpAnswer } from './http-client.js';

/** Which bytes of the content an answer holds. */
export interface ContentRange {
  readonly offset: bigint;
  /** Offset after the last byte. */
  readonly end: bigint;
  /** Length of the whole content; unset if the server does not send it. */
  readonly totalBytes?: bigint;
}

/** The unit is case-insensitive (RFC 9110, 14.1). */
const RANGE = /^bytes[ \t]+(\d{1,19})[ \t]*-[ \t]*(\d{1,19})[ \t]*\/[ \t]*(\d{1,19}|\*)$/i;
const LENGTH_ONLY = /^bytes[ \t]+\*[ \t]*\/[ \t]*(\d{1,19})$/i;

/** The range that a 206 declares; undefined if it declares none or an impossible one. */
export function contentRangeOf({ header }: Pick<HttpAnswer, 'header'>): ContentRange | undefined {
  const [, first, last, total] = RANGE.exec(header('content-range') ?? '') ?? [];
  if (first === undefined || last === undefined || total === undefined) return undefined;
  const [offset, end] = [BigInt(first), BigInt(last) + 1n];
  if (end <= offset) return undefined;
  if (total === '*') return { offset, end };
  return end <= BigInt(total) ? { offset, end, totalBytes: BigInt(total) } : undefined;
}

/** The length of the content according to a 416 answer; undefined if it does not say. */
export function lengthOf416({ header }: Pick<HttpAnswer, 'header'>): bigint | undefined {
  const [, total] = LENGTH_ONLY.exec(header('content-range') ?? '') ?? [];
  return total === undefined ? undefined : BigInt(total);
}
