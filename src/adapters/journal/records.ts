/** Parsers of every kind of record in the journal. */
import * as z from 'zod';
import { addressSchema as address, imageInfoSchema } from '../../domain/model/image-info-schema.js';
import {
  OPERATION_PHASES,
  OPERATION_STATES,
  WARNINGS,
  type OperationRecord,
  type Warning,
} from '../../domain/operations/record.js';
import type { RawDisk } from '../../domain/operations/raw-disks.js';
import type { ResumeEntry } from '../../domain/operations/recovery/resume-entries.js';
import type { TouchMark } from '../../domain/operations/recovery/touched.js';
import { resultSchema } from '../../domain/operations/results.js';
import { decode, type JournalRow } from './rows.js';
import type { CacheEntry } from '../../domain/ports/image-cache.js';

const labels = z.record(z.string(), z.string());
const identity = z.looseObject({ device: z.bigint(), inode: z.bigint() });

const state = z.enum(OPERATION_STATES);
const phase = z.enum(OPERATION_PHASES);
const progress = z.looseObject({
  doneBytes: z.bigint(),
  totalBytes: z.exactOptional(z.bigint()),
  skippedBytes: z.bigint(),
  doneItems: z.exactOptional(z.bigint()),
  totalItems: z.exactOptional(z.bigint()),
  bytesPerSecond: z.exactOptional(z.bigint()),
  etaMs: z.exactOptional(z.number()),
});
const commit = z.looseObject({
  address,
  made: z.exactOptional(identity),
  folder: z.exactOptional(identity),
  result: resultSchema,
});
// Creating a schema costs more than reading a record, so each is created once.
const allWarnings = z.array(
  z.looseObject({
    reason: z.enum(WARNINGS),
    message: z.string(),
  }),
);
const anyFields = z.looseObject({});
const storedError = z.looseObject({
  reason: z.string(),
  code: z.exactOptional(z.string()),
  message: z.string(),
  facts: z.record(z.string(), z.string()).default({}),
  violations: z.array(z.looseObject({ field: z.string(), description: z.string() })).default([]),
  retryAfterMs: z.exactOptional(z.number()),
});

const spanContext = z.looseObject({
  traceId: z.string(),
  spanId: z.string(),
  traceFlags: z.number(),
  traceState: z.exactOptional(z.string()),
});

/** Required fields of an operation. Unknown fields of newer versions are kept. */
const operation = z.looseObject({
  id: z.string().min(1),
  method: z.string(),
  caller: z.string(),
  requestId: z.exactOptional(z.string()),
  labels: labels.default({}),
  waiters: z.exactOptional(z.array(labels)),
  addresses: z.array(address).default([]),
  spec: z.looseObject({}).default({}),
  attempt: z.number().default(1),
  trace: z.exactOptional(spanContext),
  createTime: z.number(),
  startTime: z.exactOptional(z.number()),
  endTime: z.exactOptional(z.number()),
  endPlace: z.exactOptional(z.string()),
  detached: z.boolean().default(false),
  cancellable: z.boolean().default(false),
  pid: z.exactOptional(z.number()),
  pidStart: z.exactOptional(z.string()),
  queuePosition: z.exactOptional(z.number()),
  eventTime: z.number(),
  replayed: z.exactOptional(z.boolean()),
});

/** Fields whose values differ between versions. */
const VERSIONED: readonly string[] = ['state', 'phase', 'progress', 'commit', 'result', 'error', 'warnings'];

/**
 * Fails if the value is not an operation at all. Values that only a newer version knows are left
 * out, and a warning says so.
 */
export function readOperation(value: unknown): OperationRecord {
  const fields = anyFields.parse(value);
  const known = new Known(fields);
  const checked = Object.entries(fields).filter(([name]) => !VERSIONED.includes(name));
  const parsed = {
    ...operation.parse(Object.fromEntries(checked)),
    ...known.field('phase', phase),
    ...known.field('progress', progress),
    ...known.field('result', resultSchema),
    ...known.field('error', storedError),
  };
  const mayGoOn = { ...known.field('state', state), ...known.field('commit', commit) };
  const stateNow = known.unknown.includes('commit') ? 'UNKNOWN' : (mayGoOn.state ?? 'UNKNOWN');
  return { ...parsed, ...mayGoOn, state: stateNow, warnings: known.warnings() };
}

/** Filters fields whose values this version knows. */
class Known {
  readonly unknown: string[] = [];

  constructor(private readonly fields: Readonly<Record<string, unknown>>) {}

  field<Name extends string, T>(name: Name, schema: z.ZodType<T>): Partial<Record<Name, T>> {
    const value = this.fields[name];
    if (value === undefined) return {};
    const { success, data } = schema.safeParse(value);
    if (success) return only(name, data);
    this.unknown.push(name);
    return {};
  }

  /** Call it last. */
  warnings(): readonly Warning[] {
    const { warnings = [] } = this.field('warnings', allWarnings);
    if (this.unknown.length === 0) return warnings;
    const message = `another version of the daemon wrote it; this one does not know its ${this.unknown.join(', ')}`;
    return [...warnings, { reason: 'NEWER_RECORD', message }];
  }
}

function only<Name extends string, T>(name: Name, value: T): Partial<Record<Name, T>> {
  // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- TypeScript knows no type of an object with one computed name
  return { [name]: value } as Record<Name, T>;
}

const mark = identity.extend({
  birthTimeNs: z.exactOptional(z.bigint()),
  address,
  operationId: z.string(),
  method: z.string(),
});

/** Fails if the value is not a mark. */
export function readMark(value: unknown): TouchMark {
  return mark.parse(value);
}

const rawDisk = identity.extend({ birthTimeNs: z.bigint(), lengthBytes: z.bigint() });

/** Fails if the value is not a raw disk. */
export function readRawDisk(value: unknown): RawDisk {
  return rawDisk.parse(value);
}

const resumeEntry = z.looseObject({
  key: z.string(),
  operationId: z.string(),
  formerId: z.exactOptional(z.string()),
  method: z.string(),
  labels,
  address,
  checkpoint: z.record(z.string(), z.string()),
  kept: z.exactOptional(z.looseObject({ sinceMs: z.number(), bytes: z.bigint() })),
});

/** Fails if the value is not a resume entry. */
export function readResumeEntry(value: unknown): ResumeEntry {
  return resumeEntry.parse(value);
}

const cacheEntry = z.looseObject({
  id: z.string(),
  key: z.string(),
  source: z.string(),
  checksum: z.string(),
  validator: z.exactOptional(z.string()),
  verified: z.boolean(),
  guarded: z.exactOptional(z.boolean()),
  knownTo: z.exactOptional(z.array(z.string())),
  info: imageInfoSchema,
  inode: z.bigint(),
  modifyTimeNs: z.bigint(),
  fileSha256: z.exactOptional(z.string()),
  createTimeMs: z.number(),
  useTimeMs: z.number(),
  pinned: z.boolean(),
});

/** Fails if the value is not an entry of the cache. */
export function readCacheEntry(value: unknown): CacheEntry {
  return cacheEntry.parse(value);
}

/** Undefined if this version cannot read the record. */
export function parseRow<T>({ body }: JournalRow, read: (value: unknown) => T): T | undefined {
  try {
    return read(decode(body));
  } catch (error) {
    if (error instanceof z.ZodError || error instanceof SyntaxError) return undefined;
    throw error;
  }
}
