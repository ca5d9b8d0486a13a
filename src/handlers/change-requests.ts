/** Parsers of requests that change images in place, or examine whole images. */
import * as z from 'zod';
import type { CheckSpec } from '../domain/verbs/check-image.js';
import type { CompareSpec } from '../domain/verbs/compare-images.js';
import type { CommitSpec } from '../domain/verbs/commit-image.js';
import type { DigestSpec } from '../domain/verbs/digest-image.js';
import type { RebaseSpec } from '../domain/verbs/rebase-image.js';
import type { ResizeSpec } from '../domain/verbs/resize-image.js';
import type { SnapshotSpec } from '../domain/verbs/snapshots.js';
import { OPENS, OPENS_SECOND } from '../domain/images/unlocked.js';
import type { WipeSpec } from '../domain/verbs/wipe-image.js';
import { RepairMode, WipeMode } from '../gen/hostler/v1/image_service.js';
import {
  address,
  defined,
  enumeration,
  format,
  orUnset,
  parseRequest,
  parseVerb,
  passphrase,
  preallocation,
  size,
} from './fields.js';
import { parseAsk } from './image-requests.js';
import type { Parsed } from './running.js';

/** qemu stores names in 256 bytes with a NUL. */
const MAX_SNAPSHOT_BYTES = 255;

const image = { path: address, format, secret: passphrase };

/** A spec, with the address under its name in the domain; the secret goes into `ask`. */
function parsed<S extends { path: unknown; secret?: Uint8Array | undefined }>(
  schema: z.ZodType<S>,
  request: unknown,
): Parsed<Omit<S, 'path' | 'secret'> & { address: S['path'] }> {
  const { path, secret, ...rest } = parseVerb(schema, request);
  return { spec: { ...rest, address: path }, ask: parseAsk(request, { [OPENS]: secret }) };
}

const resize = z
  .object({
    ...image,
    virtualSize: size,
    allowShrink: z.boolean(),
    preallocation,
    safeCopy: z.boolean(),
    allowDependants: z.boolean(),
  })
  .transform(({ virtualSize, ...rest }) => ({ ...rest, sizeBytes: virtualSize }));
/**
 * ResizeImage as a spec: the size in bytes. Fails with INVALID_FIELD, as all parsers here, for each
 * wrong field.
 */
export const parseResize = (request: unknown): Parsed<ResizeSpec> => parsed(resize, request);

const rebase = z
  .object({
    ...image,
    backingFile: orUnset(address),
    backingFormat: orUnset(format),
    headerOnly: z.boolean(),
    safeCopy: z.boolean(),
  })
  .superRefine(({ backingFile, backingFormat }, context) => {
    if ((backingFile === undefined) === (backingFormat === undefined)) return;
    const message = backingFile === undefined ? 'only with backing_file' : 'required with backing_file';
    context.addIssue({ code: 'custom', path: ['backingFormat'], message });
  })
  .transform(({ backingFile, backingFormat, ...rest }) => ({
    ...rest,
    ...(backingFile === undefined || backingFormat === undefined
      ? {}
      : { backing: { address: backingFile, format: backingFormat } }),
  }));
/**
 * RebaseImage as a spec; without a backing file the image becomes standalone. backing_file and
 * backing_format go together.
 */
export const parseRebase = (request: unknown): Parsed<RebaseSpec> => parsed(rebase, request);

const commit = z
  .object({ ...image, base: address.optional(), safeCopy: z.boolean(), allowDependants: z.boolean() })
  .transform(({ base, ...rest }) => ({ ...rest, ...defined({ base }) }));
/** CommitImage as a spec; no base means the nearest one. */
export const parseCommit = (request: unknown): Parsed<CommitSpec> => parsed(commit, request);

const repairs = {
  [RepairMode.REPAIR_MODE_UNSPECIFIED]: 'none',
  [RepairMode.REPAIR_MODE_NONE]: 'none',
  [RepairMode.REPAIR_MODE_LEAKS]: 'leaks',
  [RepairMode.REPAIR_MODE_ALL]: 'all',
} as const;
const check = z.object({ ...image, repair: enumeration<CheckSpec['repair']>(repairs) });
/** CheckImage as a spec; an unspecified repair is `none`. */
export const parseCheck = (request: unknown): Parsed<CheckSpec> => parsed(check, request);

const digest = z
  .object({ path: address, peer: z.string() })
  .transform(({ path, peer }) => ({ path, ...(peer === '' ? {} : { peer }) }));
/** DigestImage as a spec; an empty peer is this host. */
export const parseDigest = (request: unknown): Parsed<DigestSpec> => parsed(digest, request);

const compare = z.object({
  first: address,
  firstFormat: format,
  second: address,
  secondFormat: format,
  strict: z.boolean(),
  firstSecret: passphrase,
  secondSecret: passphrase,
});
/** CompareImages as a spec; each image has its own secret. */
export function parseCompare(request: unknown): Parsed<CompareSpec> {
  const { firstSecret, secondSecret, ...spec } = parseVerb(compare, request);
  return { spec, ask: parseAsk(request, { [OPENS]: firstSecret, [OPENS_SECOND]: secondSecret }) };
}

const modes = { [WipeMode.WIPE_MODE_ZERO]: 'zero', [WipeMode.WIPE_MODE_DISCARD]: 'discard' } as const;
const wipe = z.object({
  path: address,
  mode: enumeration<WipeSpec['mode']>(modes),
  allowDependants: z.boolean(),
});
/** WipeImage as a spec; the mode is required. */
export const parseWipe = (request: unknown): Parsed<WipeSpec> => parsed(wipe, request);

const snapshotName = z
  .string()
  .refine((name) => name !== '' && !name.includes('\0'), 'must not be empty or contain NUL')
  .refine((name) => Buffer.byteLength(name) <= MAX_SNAPSHOT_BYTES, `longer than ${String(MAX_SNAPSHOT_BYTES)} bytes`);
const snapshot = z.object({ ...image, snapshot: snapshotName, allowDependants: z.boolean().default(false) });
/**
 * Requests that create, delete or revert to a snapshot; the name has at most 255 bytes, qemu's
 * limit.
 */
export const parseSnapshot = (request: unknown): Parsed<SnapshotSpec> => parsed(snapshot, request);

const snapshots = z.object({ path: address, format });
/** ListSnapshots: which image, in which format. */
export function parseSnapshots(request: unknown): Pick<SnapshotSpec, 'address' | 'format'> {
  const { path, ...rest } = parseRequest(snapshots, request);
  return { address: path, ...rest };
}
