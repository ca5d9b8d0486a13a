/**
 * Results of operations, checked as they come from the journal. Fields that are not named here pass
 * as they are.
 */
import * as z from 'zod';
import { asAddress } from '../../domain/model/address.js';
import { READABLE_FORMATS } from '../../domain/model/image-format.js';
import { FINDINGS } from '../../domain/model/image-info.js';

const address = z.string().transform(asAddress);
const optionalText = z.exactOptional(z.string());
const optionalBytes = z.exactOptional(z.bigint());

const snapshot = z.looseObject({
  id: z.string(),
  name: z.string(),
  createTimeMs: z.number(),
  virtualSizeBytes: optionalBytes,
  vmStateBytes: z.bigint(),
});

export const imageInfo = z.looseObject({
  format: z.enum(READABLE_FORMATS),
  virtualSizeBytes: z.bigint(),
  clusterSizeBytes: optionalBytes,
  backingFile: optionalText,
  backingFormat: optionalText,
  encrypted: z.boolean(),
  dirty: z.boolean(),
  corrupt: z.boolean(),
  dataFile: optionalText,
  snapshots: z.array(snapshot),
  compat: optionalText,
  compressionType: optionalText,
  lazyRefcounts: z.exactOptional(z.boolean()),
  extendedL2: z.exactOptional(z.boolean()),
  subformat: optionalText,
  refcountBits: z.exactOptional(z.number()),
  findings: z.array(z.looseObject({ reason: z.enum(FINDINGS), message: z.string() })),
  address,
  fileLengthBytes: z.bigint(),
  allocatedBytes: z.bigint(),
  fullBackingFile: optionalText,
  inUse: z.boolean(),
});

const image = z.looseObject({
  kind: z.literal('image'),
  info: imageInfo,
  changed: z.exactOptional(z.boolean()),
  method: z.string(),
  why: z.string(),
  movedBytes: z.bigint(),
  skippedBytes: z.bigint(),
});
const copy = z.looseObject({
  kind: z.literal('copy'),
  target: address,
  lengthBytes: z.bigint(),
  allocatedBytes: z.bigint(),
  engine: z.string(),
  why: z.string(),
  movedBytes: z.bigint(),
  skippedBytes: z.bigint(),
  verified: z.boolean(),
});
const fetched = z.looseObject({
  kind: z.literal('fetch'),
  info: z.exactOptional(imageInfo),
  networkBytes: z.bigint(),
  fromCache: z.boolean(),
  checksum: optionalText,
  lengthBytes: z.bigint(),
  cacheId: optionalText,
});
const check = z.looseObject({
  kind: z.literal('check'),
  clean: z.boolean(),
  corruptions: z.bigint(),
  leaks: z.bigint(),
  checkErrors: z.bigint(),
  corruptionsFixed: z.bigint(),
  leaksFixed: z.bigint(),
});

export const operationResult = z.discriminatedUnion('kind', [
  image,
  copy,
  fetched,
  check,
  z.looseObject({ kind: z.literal('digest'), algorithm: z.string(), digest: z.string(), lengthBytes: z.bigint() }),
  z.looseObject({ kind: z.literal('export'), lengthBytes: z.bigint() }),
  z.looseObject({ kind: z.literal('cached'), cacheId: z.string() }),
  z.looseObject({
    kind: z.literal('delete'),
    existed: z.boolean(),
    freedBytes: z.bigint(),
    items: optionalBytes,
  }),
  z.looseObject({
    kind: z.literal('compare'),
    equal: z.boolean(),
    firstDifferenceBytes: optionalBytes,
    message: z.string(),
  }),
  z.looseObject({ kind: z.literal('snapshot'), snapshot }),
  z.looseObject({ kind: z.literal('chown'), changedItems: z.bigint(), seenItems: z.bigint() }),
  z.looseObject({ kind: z.literal('write'), writtenBytes: z.bigint(), sha256: optionalText }),
  z.looseObject({ kind: z.literal('touch'), existed: z.boolean() }),
  z.looseObject({ kind: z.literal('execute'), exitCode: z.number(), attempts: z.number() }),
  z.looseObject({
    kind: z.literal('plan'),
    method: z.string(),
    why: z.string(),
    moveBytes: optionalBytes,
    needBytes: z.bigint(),
    freeBytes: optionalBytes,
  }),
]);
