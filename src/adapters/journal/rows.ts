/** Records as text. Shared by the thread that writes them and the code that reads them. */
import { crc32 } from 'node:zlib';
import type { Span } from '../../domain/operations/journal.js';

/**
 * Entries beside operations: images that were being changed, disks that were created as raw, resume
 * entries, and images of the cache.
 */
export type EntryKind = 'mark' | 'raw' | 'resume' | 'cached';

/** One record; the body is JSON. */
export interface JournalRow {
  readonly key: string;
  readonly body: string;
}

/** A record to write, or to remove if it has no body. */
export interface Write {
  /** 'operation', an EntryKind, or the name of a newer version's entries. */
  readonly kind: string;
  readonly key: string;
  readonly body: string | undefined;
}

/**
 * A record that is not as it was written, and what was done with it. Unreadable records are kept,
 * but never returned to callers.
 */
export interface SetAside {
  readonly kind: string;
  readonly key: string;
  readonly why: string;
}

/** The checksum of a record; it detects every single flipped bit. */
export function sumOf(kind: string, { key, body }: JournalRow): number {
  return crc32(`${kind}\n${key}\n${body}`);
}

/**
 * JSON has no bigint: it is written as a string with this prefix; strings of callers that begin
 * with NUL are escaped.
 */
const BIGINT = '\0n';
const ESCAPED = '\0s';

/**
 * JSON of a record for the journal, with bigints and strings escaped as described at BIGINT.
 * `decode` reverses it.
 */
export function encode(value: object): string {
  return JSON.stringify(value, (_, field: unknown) => {
    if (typeof field === 'bigint') return `${BIGINT}${String(field)}`;
    return typeof field === 'string' && field.startsWith('\0') ? `${ESCAPED}${field}` : field;
  });
}

/**
 * Reverses `encode` for one string, for text that is parsed without `decode`, which takes three
 * times as long.
 */
export function unescaped(text: string): string {
  return text.startsWith(ESCAPED) ? text.slice(ESCAPED.length) : text;
}

/** Fails if the text is not JSON. */
export function decode(text: string): unknown {
  return JSON.parse(text, (_, field: unknown) => {
    if (typeof field !== 'string') return field;
    if (field.startsWith(BIGINT)) return BigInt(field.slice(BIGINT.length));
    return field.startsWith(ESCAPED) ? field.slice(ESCAPED.length) : field;
  });
}

/** Reverses `encode` for one bigint, for text that is parsed without `decode`. */
export function bigintIn(text: unknown): string | undefined {
  return typeof text === 'string' && text.startsWith(BIGINT) ? text.slice(BIGINT.length) : undefined;
}

export interface OperationSearch {
  /** An operation must have one trait of each group. */
  readonly groups: readonly (readonly string[])[];
  readonly span: Span;
  readonly limit: number;
}

/** Operations that ended after one place and up to another. */
export interface EndedSearch {
  /** As in OperationSearch. */
  readonly groups: readonly (readonly string[])[];
  readonly behind: string;
  readonly upTo: string;
  readonly limit: number;
}

export interface FoundRows {
  readonly rows: readonly JournalRow[];
  /** Everything up to this id, or place, was searched; undefined: there are no more. */
  readonly reached: string | undefined;
}
