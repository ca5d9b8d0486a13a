/** The schema of an image's facts as read from the journal. */
import * as z from 'zod';
import { asAddress, type ImageAddress } from './address.js';
import { READABLE_FORMATS } from './image-format.js';
import { FINDINGS, type Described, type ImageInfo, type NamedExtent, type SnapshotFacts } from './image-info.js';

const optionalText = z.exactOptional(z.string());
const optionalBytes = z.exactOptional(z.bigint());

/** The address of an image. */
export const addressSchema: z.ZodType<ImageAddress> = z.string().transform(asAddress);

/** A schema for each field of a type, also for optional ones. */
type FieldsOf<Type> = Readonly<Record<keyof Type, z.ZodType>>;

const snapshotFields = {
  id: z.string(),
  name: z.string(),
  createTimeMs: z.number(),
  virtualSizeBytes: optionalBytes,
  vmStateBytes: z.bigint(),
} satisfies FieldsOf<SnapshotFacts>;

/** A snapshot; fields of another version of the daemon are kept. */
export const snapshotSchema: z.ZodType<SnapshotFacts> = z.looseObject(snapshotFields);

const described = z.looseObject({
  contentId: z.string(),
  parentContentId: z.string(),
  extents: z.array(
    z.looseObject({
      kind: z.enum(['flat', 'sparse', 'zero']),
      lengthBytes: z.bigint(),
      offsetBytes: z.bigint(),
      name: optionalText,
    } satisfies FieldsOf<NamedExtent>),
  ),
} satisfies FieldsOf<Described>);

const imageInfoFields = {
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
  vhdSizeFrom: z.exactOptional(z.enum(['chs', 'current_size'])),
  untoldSizeBytes: optionalBytes,
  extentNames: z.exactOptional(z.array(z.string())),
  described: z.exactOptional(described),
  oldEncryption: z.exactOptional(z.literal('aes')),
  sectorBytes: z.exactOptional(z.number()),
  holdsLuks: z.exactOptional(z.literal(true)),
  luksVersion: z.exactOptional(z.number()),
  findings: z.array(z.looseObject({ reason: z.enum(FINDINGS), message: z.string() })),
  address: addressSchema,
  fileLengthBytes: z.bigint(),
  allocatedBytes: z.bigint(),
  fullBackingFile: optionalText,
  inUse: z.boolean(),
} satisfies FieldsOf<ImageInfo>;

/** An image; fields of another version of the daemon are kept. */
export const imageInfoSchema: z.ZodType<ImageInfo> = z.looseObject(imageInfoFields);
