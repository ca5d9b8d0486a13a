import { z } from 'zod';
import { asAddress } from '../domain/address.js';
import type { CacheEntry } from '../domain/cache/cache-entry.js';
import type { OperationRecord } from '../domain/operations/record.js';
import type { ResumeEntry } from '../domain/operations/resume-entries.js';
import type { TouchMark } from '../domain/operations/touched.js';

/** JSON knows no bigint: they become strings that begin so; strings of callers that begin with NUL are escaped. */
const BIGINT = '\0n';
const ESCAPED = '\0s';

const record = z.custom<OperationRecord>(
  (value) => typeof value === 'object' && value !== null && 'id' in value && 'state' in value && 'spec' in value,
);

export function encodeRecord(value: OperationRecord | ResumeEntry | CacheEntry): string {
  return JSON.stringify(value, (_, field: unknown) => {
    if (typeof field === 'bigint') return `${BIGINT}${String(field)}`;
    return typeof field === 'string' && field.startsWith('\0') ? `${ESCAPED}${field}` : field;
  });
}

/** Fails when the text is no record. */
export function decodeRecord(text: string): OperationRecord {
  return record.parse(decode(text));
}

function decode(text: string): unknown {
  return JSON.parse(text, (_, field: unknown) => {
    if (typeof field !== 'string') return field;
    if (field.startsWith(BIGINT)) return BigInt(field.slice(BIGINT.length));
    return field.startsWith(ESCAPED) ? field.slice(ESCAPED.length) : field;
  });
}

const mark = z.object({
  device: z.string().transform(BigInt),
  inode: z.string().transform(BigInt),
  birthTimeNs: z.string().transform(BigInt).optional(),
  address: z.string().transform(asAddress),
  operationId: z.string(),
  method: z.string(),
});

export function encodeMark({ device, inode, birthTimeNs, ...rest }: TouchMark): string {
  const born = birthTimeNs === undefined ? {} : { birthTimeNs: String(birthTimeNs) };
  return JSON.stringify({ device: String(device), inode: String(inode), ...born, ...rest });
}

/** Fails when the text is no mark. */
export function decodeMark(text: string): TouchMark {
  const { birthTimeNs, ...rest } = mark.parse(JSON.parse(text));
  return { ...rest, ...(birthTimeNs === undefined ? {} : { birthTimeNs }) };
}

const resumeEntry = z.custom<ResumeEntry>(
  (value) => typeof value === 'object' && value !== null && 'key' in value && 'operationId' in value,
);

/** Fails when the text is no resume entry. */
export function decodeResumeEntry(text: string): ResumeEntry {
  return resumeEntry.parse(decode(text));
}

const cacheEntry = z.custom<CacheEntry>(
  (value) => typeof value === 'object' && value !== null && 'id' in value && 'key' in value && 'info' in value,
);

/** Fails when the text is no entry of the cache. */
export function decodeCacheEntry(text: string): CacheEntry {
  return cacheEntry.parse(decode(text));
}
