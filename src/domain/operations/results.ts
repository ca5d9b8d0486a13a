/**
 * The results of operations: their types, and the checks when they are read from the journal, from
 * one list of fields. Unknown fields are kept: another version of the daemon may have written them.
 * A new field has to be optional (`z.optional`): older records lack it.
 */
import * as z from 'zod';
import { addressSchema, imageInfoSchema, snapshotSchema } from '../model/image-info-schema.js';
import type { CheckCounts, Comparison } from '../ports/changes.js';

/** Without fields of other versions. */
type Known<T> = { readonly [Field in keyof T as string extends Field ? never : Field]: T[Field] };

const optionalText = z.exactOptional(z.string());
const optionalBytes = z.exactOptional(z.bigint());

const plan = z.looseObject({
  kind: z.literal('plan'),
  method: z.string(),
  why: z.string(),
  moveBytes: z.optional(z.bigint()),
  needBytes: z.bigint(),
  /** Unset if nothing is written. */
  freeBytes: z.optional(z.bigint()),
});
/** What an operation would do, and why. */
export type Plan = Known<z.infer<typeof plan>>;

const image = z.looseObject({
  kind: z.literal('image'),
  info: imageInfoSchema,
  /** Unset: the image was created. */
  changed: z.exactOptional(z.boolean()),
  method: z.string(),
  why: z.string(),
  movedBytes: z.bigint(),
  skippedBytes: z.bigint(),
});
/** An image was created or changed. */
export type ImageResult = Known<z.infer<typeof image>>;

const check = z.looseObject({
  kind: z.literal('check'),
  /** No errors are left; leaks may be. */
  clean: z.boolean(),
  corruptions: z.bigint(),
  leaks: z.bigint(),
  checkErrors: z.bigint(),
  corruptionsFixed: z.bigint(),
  leaksFixed: z.bigint(),
});
/** An image was checked. */
export type CheckResult = Known<z.infer<typeof check>> & CheckCounts;

const compare = z.looseObject({
  kind: z.literal('compare'),
  equal: z.boolean(),
  firstDifferenceBytes: optionalBytes,
  message: z.string(),
});
/** Two images were compared. */
export type CompareResult = Known<z.infer<typeof compare>> & Comparison;

const snapshot = z.looseObject({ kind: z.literal('snapshot'), snapshot: snapshotSchema });
/** A snapshot was created, removed or reverted to. */
export type SnapshotResult = Known<z.infer<typeof snapshot>>;

const copy = z.looseObject({
  kind: z.literal('copy'),
  target: addressSchema,
  lengthBytes: z.bigint(),
  allocatedBytes: z.bigint(),
  engine: z.string(),
  why: z.string(),
  movedBytes: z.bigint(),
  skippedBytes: z.bigint(),
  verified: z.boolean(),
});
/** Bytes were copied. */
export type CopyResult = Known<z.infer<typeof copy>>;

const digest = z.looseObject({
  kind: z.literal('digest'),
  algorithm: z.string(),
  digest: z.string(),
  lengthBytes: z.bigint(),
});
/** The digest of an image was computed. */
export type DigestResult = Known<z.infer<typeof digest>>;

const fetched = z.looseObject({
  kind: z.literal('fetch'),
  /** Unset for raw bytes. */
  info: z.exactOptional(imageInfoSchema),
  networkBytes: z.bigint(),
  fromCache: z.boolean(),
  /**
   * Of the bytes as received, `algorithm:digest`; unset if it was not requested and nothing was
   * received over the network.
   */
  checksum: optionalText,
  lengthBytes: z.bigint(),
  cacheId: optionalText,
});
/** An image or a file was fetched. */
export type FetchResult = Known<z.infer<typeof fetched>>;

const exported = z.looseObject({ kind: z.literal('export'), lengthBytes: z.bigint() });
/** An image was served to another agent. */
export type ExportResult = Known<z.infer<typeof exported>>;

const cached = z.looseObject({ kind: z.literal('cached'), cacheId: z.string() });
/** The current state of an entry of the cache. */
export type CachedResult = Known<z.infer<typeof cached>>;

const removed = z.looseObject({
  kind: z.literal('delete'),
  existed: z.boolean(),
  freedBytes: z.bigint(),
  /** Unset: one, if it existed. */
  items: optionalBytes,
});
/** Something was removed. */
export type DeleteResult = Known<z.infer<typeof removed>>;

const chown = z.looseObject({ kind: z.literal('chown'), changedItems: z.bigint(), seenItems: z.bigint() });
/** Owners were changed. */
export type ChownResult = Known<z.infer<typeof chown>>;

const write = z.looseObject({
  kind: z.literal('write'),
  writtenBytes: z.bigint(),
  /**
   * Of the written data; set if the call had a request id, so that a repetition can be
   * distinguished from another request.
   */
  sha256: optionalText,
});
/** A file was written. */
export type WriteResult = Known<z.infer<typeof write>>;

const touch = z.looseObject({ kind: z.literal('touch'), existed: z.boolean() });
/** The times of a file were set. */
export type TouchResult = Known<z.infer<typeof touch>>;

const directory = z.looseObject({
  kind: z.literal('directory'),
  existed: z.boolean(),
  /** Unset if it existed. */
  topmostPath: z.exactOptional(addressSchema),
  madeItems: z.number(),
});
/** A folder was created, or existed. */
export type DirectoryResult = Known<z.infer<typeof directory>>;

const moved = z.looseObject({
  kind: z.literal('move'),
  path: addressSchema,
  replaced: z.boolean(),
  rewrittenItems: z.number(),
});
/** A file or folder was renamed. */
export type MoveResult = Known<z.infer<typeof moved>>;

const execute = z.looseObject({ kind: z.literal('execute'), exitCode: z.number(), attempts: z.number() });
/** A configured command was run. */
export type ExecuteResult = Known<z.infer<typeof execute>>;

/** The possible results in a record of the journal. */
export const resultSchema = z.discriminatedUnion('kind', [
  plan,
  image,
  check,
  compare,
  snapshot,
  copy,
  digest,
  fetched,
  exported,
  cached,
  removed,
  chown,
  write,
  touch,
  directory,
  moved,
  execute,
]);

export type OperationResult =
  | ImageResult
  | CopyResult
  | DigestResult
  | FetchResult
  | ExportResult
  | CachedResult
  | DeleteResult
  | CheckResult
  | CompareResult
  | SnapshotResult
  | ChownResult
  | WriteResult
  | TouchResult
  | DirectoryResult
  | MoveResult
  | ExecuteResult
  | Plan;
