/** What is known of an image, checked as it comes from the journal. */
import * as z from 'zod';
import { asAddress, type ImageAddress } from './address.js';
import { READABLE_FORMATS } from './image-format.js';
import { FINDINGS, type ImageInfo, type SnapshotFacts } from './image-info.js';

const optionalText = z.exactOptional(z.string());
const optionalBytes = z.exactOptional(z.bigint());

/** The address of an image. */
export const addressSchema: z.ZodType<ImageAddress> = z.string().transform(asAddress);

/** A snapshot; fields that are not named here pass as they are. */
export const snapshotSchema: z.ZodType<SnapshotFacts> = z.looseObject({
  id: z.string(),
  name: z.string(),
  createTimeMs: z.number(),
  virtualSizeBytes: optionalBytes,
  vmStateBytes: z.bigint(),
});

/** An image; fields that are not named here pass as they are. */
export const imageInfoSchema: z.ZodType<ImageInfo> = z.looseObject({
  format: z.enum(READABLE_FORMATS),
  virtualSizeBytes: z.bigint(),
  clusterSizeBytes: optionalBytes,
  backingFile: optionalText,
  backingFormat: optionalText,
  encrypted: z.boolean(),
  dirty: z.boolean(),
  corrupt: z.boolean(),
  dataFile: optionalText,
  snapshots: z.array(snapshotSchema),
  compat: optionalText,
  compressionType: optionalText,
  lazyRefcounts: z.exactOptional(z.boolean()),
  extendedL2: z.exactOptional(z.boolean()),
  subformat: optionalText,
  refcountBits: z.exactOptional(z.number()),
  findings: z.array(z.looseObject({ reason: z.enum(FINDINGS), message: z.string() })),
  address: addressSchema,
  fileLengthBytes: z.bigint(),
  allocatedBytes: z.bigint(),
  fullBackingFile: optionalText,
  inUse: z.boolean(),
});
