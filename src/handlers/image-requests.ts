/** Parsers of ImageService requests. Syntax only; paths are resolved by the domain. */
import * as z from 'zod';
import { traits, type ImageFormat } from '../domain/model/image-format.js';
import { checkLayout, layout, qcow2Layout } from './layout/fields.js';
import type { ConvertSpec } from '../domain/verbs/convert-image.js';
import type { CreateSpec } from '../domain/verbs/create-image.js';
import type { OverlaySpec } from '../domain/verbs/create-overlay.js';
import type { DeleteSpec } from '../domain/verbs/delete-image.js';
import type { BatchSpec } from '../domain/verbs/batch-image-info.js';
import type { InfoSpec } from '../domain/verbs/get-image-info.js';
import {
  address,
  ask,
  attributes,
  compressionType,
  defined,
  format,
  optionalFormat,
  optionalSize,
  parseRequest,
  parseVerb,
  passphrase,
  preallocation,
  rate,
  size,
  targetFormat,
  text,
} from './fields.js';
import type { Parsed } from './running.js';
import type { Secrets } from '../domain/model/secrets.js';
import type { Ask } from '../domain/operations/engine-ports.js';

type Context = z.RefinementCtx;
const issue = (context: Context, field: string, message: string) => {
  context.addIssue({ code: 'custom', path: [field], message });
};

const encryption = z
  .object({
    format: z.literal('luks', 'must be luks'),
    passphrase: z.instanceof(Uint8Array).refine((bytes) => bytes.length > 0, 'must not be empty'),
  })
  .optional();
export const writable = { overwrite: z.boolean(), allowDependants: z.boolean(), attributes };
const compression = { compress: z.boolean(), compressionType };

interface Encrypted {
  readonly encryption?: { readonly passphrase: Uint8Array } | undefined;
}

function checkEncryption(target: ImageFormat, request: Encrypted, context: Context): void {
  const need = traits(target).encryption;
  if (need === 'needed' && request.encryption === undefined) issue(context, 'encryption', `required for ${target}`);
  if (need === 'no' && request.encryption !== undefined) issue(context, 'encryption', `${target} cannot be encrypted`);
}

function checkPreallocation(target: ImageFormat, request: { preallocation: string }, context: Context): void {
  if (!traits(target).preallocations.some((known) => known === request.preallocation))
    issue(context, 'preallocation', `${target} cannot be preallocated so`);
}

function checkCompression(
  target: ImageFormat,
  request: { compress: boolean; compressionType?: string | undefined },
  context: Context,
): void {
  if (request.compress && !traits(target).compressible) issue(context, 'compress', `${target} cannot be compressed`);
  if (request.compressionType === undefined) return;
  if (!request.compress) issue(context, 'compressionType', 'only with compress');
  else if (target !== 'qcow2') issue(context, 'compressionType', `${target} has no choice of compression`);
}

const info = z
  .object({ path: address, format: optionalFormat, backingChain: z.boolean() })
  .superRefine((request, context) => {
    if (request.backingChain && request.format === undefined) issue(context, 'format', 'required with backing_chain');
  })
  .transform(({ path, ...rest }): InfoSpec => defined({ address: path, ...rest }));
/**
 * GetImageInfo as a spec; backing_chain needs a format. Fails with INVALID_FIELD, as all parsers
 * here.
 */
export const parseInfo = (request: unknown): InfoSpec => parseRequest(info, request);

const batch = z
  .object({
    paths: z.array(z.string()).min(1, 'at least one path is required'),
    format: optionalFormat,
    backingChain: z.boolean(),
  })
  .superRefine((request, context) => {
    if (request.backingChain && request.format === undefined) issue(context, 'format', 'required with backing_chain');
  })
  .transform((request): BatchSpec => defined(request));
/** BatchGetImageInfo as a spec; its paths are parsed later, one by one. */
export const parseBatch = (request: unknown): BatchSpec => parseRequest(batch, request);

const detect = z.object({ path: address });
/** DetectDiskType: the address. */
export const parseDetect = (request: unknown) => parseRequest(detect, request).path;

/** libvirt's own names are more restricted. */
const domainName = z.string().regex(/^[^\0\n/]{1,255}$/, 'must be the name of a domain');
const domain = z.object({
  domain: z.discriminatedUnion(
    '$case',
    [
      z.object({ $case: z.literal('domainXml'), value: z.string() }),
      z.object({ $case: z.literal('domainName'), value: domainName }),
    ],
    'domain_xml or domain_name is required',
  ),
});
/** FindRootDisk: the domain's XML, or the name of a domain that libvirt knows. */
export function parseDomain(
  request: unknown,
): { readonly xml: string; readonly name?: never } | { readonly xml?: never; readonly name: string } {
  const { $case, value } = parseRequest(domain, request).domain;
  return $case === 'domainXml' ? { xml: value } : { name: value };
}

const map = z
  .object({ path: address, format, secret: passphrase })
  .transform(({ path, secret, ...rest }) => ({ address: path, ...rest, ...defined({ passphrase: secret }) }));
/** MapImage: which image, and the passphrase that opens it. */
export const parseMap = (request: unknown) => parseRequest(map, request);

const measure = z
  .object({ path: address, format, targetFormat, secret: passphrase })
  .transform(({ path, secret, ...rest }) => ({ address: path, ...rest, ...defined({ passphrase: secret }) }));
/** MeasureImage: which image, for which format, and the passphrase that opens it. */
export const parseMeasure = (request: unknown) => parseRequest(measure, request);

const create = z
  .object({
    path: address,
    format: targetFormat,
    virtualSize: size,
    preallocation,
    encryption,
    ...layout,
    ...writable,
  })
  .superRefine((request, context) => {
    checkLayout(request.format, request, context);
    checkEncryption(request.format, request, context);
    checkPreallocation(request.format, request, context);
  });
/** CreateImage as a spec: the size in bytes; the passphrase goes into `ask.secrets`. */
export function parseCreate(request: unknown): Parsed<CreateSpec> {
  const { path, virtualSize, encryption: secret, ...rest } = parseVerb(create, request);
  return {
    spec: defined({ address: path, sizeBytes: virtualSize, encrypted: secret !== undefined, ...rest }),
    ask: parseAsk(request, { passphrase: secret?.passphrase }),
  };
}

const overlay = z
  .object({
    path: address,
    backingFile: address,
    backingFormat: format,
    virtualSize: optionalSize,
    ...qcow2Layout,
    allowChain: z.boolean(),
    allowInUse: z.boolean(),
    ...writable,
  })
  .superRefine((request, context) => {
    checkLayout('qcow2', request, context);
  });
/** CreateOverlay as a spec; no size means that of the backing file. */
export function parseOverlay(request: unknown): Parsed<OverlaySpec> {
  const { path, backingFile, virtualSize, ...rest } = parseVerb(overlay, request);
  return {
    spec: defined({ address: path, backing: backingFile, sizeBytes: virtualSize, ...rest }),
    ask: parseAsk(request),
  };
}

const convert = z
  .object({
    source: address,
    sourceFormat: format,
    target: address,
    targetFormat,
    ...compression,
    preallocation,
    bandwidthBytesPerSecond: rate.optional(),
    sourceSecret: passphrase,
    encryption,
    allowInUse: z.boolean(),
    ...layout,
    ...writable,
  })
  .superRefine((request, context) => {
    checkLayout(request.targetFormat, request, context);
    checkCompression(request.targetFormat, request, context);
    checkPreallocation(request.targetFormat, request, context);
    checkEncryption(request.targetFormat, request, context);
  });
/** ConvertImage as a spec; the passphrases of source and target go into `ask.secrets`. */
export function parseConvert(request: unknown): Parsed<ConvertSpec> {
  const {
    targetFormat: wanted,
    bandwidthBytesPerSecond,
    sourceSecret,
    encryption: secret,
    ...rest
  } = parseVerb(convert, request);
  const encrypted = { sourceEncrypted: sourceSecret !== undefined, encrypted: secret !== undefined };
  const spec = defined({ ...rest, ...encrypted, format: wanted, bytesPerSecond: bandwidthBytesPerSecond });
  return { spec, ask: parseAsk(request, { sourcePassphrase: sourceSecret, passphrase: secret?.passphrase }) };
}

/** The old module's names for qemu's raw and parallels. */
const EXTRACT_NAMES: ReadonlyMap<string, string> = new Map([
  ['iso', 'raw'],
  ['ploop', 'parallels'],
]);
const byQemuName = z.string().transform((name) => EXTRACT_NAMES.get(name) ?? name);

const extract = z
  .object({
    path: address,
    sourceFormat: byQemuName.pipe(format),
    target: address,
    targetFormat: byQemuName.pipe(targetFormat),
    snapshot: text.optional(),
    ...compression,
    bandwidthBytesPerSecond: rate.optional(),
    allowInUse: z.boolean(),
    secret: passphrase,
    ...layout,
    ...writable,
  })
  .superRefine((request, context) => {
    checkLayout(request.targetFormat, request, context);
    checkCompression(request.targetFormat, request, context);
    if (traits(request.targetFormat).encryption === 'needed')
      issue(context, 'targetFormat', `${request.targetFormat} needs a passphrase: use ConvertImage`);
  });
/** ExtractSnapshot as the spec of a conversion. Also takes the format names of EXTRACT_NAMES. */
export function parseExtract(request: unknown): Parsed<ConvertSpec> {
  const { path, targetFormat: wanted, bandwidthBytesPerSecond, secret, ...rest } = parseVerb(extract, request);
  return {
    spec: defined({
      ...rest,
      source: path,
      format: wanted,
      preallocation: 'off' as const,
      sourceEncrypted: secret !== undefined,
      encrypted: false,
      bytesPerSecond: bandwidthBytesPerSecond,
    }),
    ask: parseAsk(request, { sourcePassphrase: secret }),
  };
}

const remove = z.object({
  path: address,
  missingOk: z.boolean(),
  allowInUse: z.boolean(),
  allowDependants: z.boolean(),
});
/** DeleteImage as a spec. */
export function parseDelete(request: unknown): Parsed<DeleteSpec> {
  const { path, ...rest } = parseVerb(remove, request);
  return { spec: { address: path, ...rest }, ask: parseAsk(request) };
}

/** The engine's options in an operation's request; undefined secrets are left out. */
export function parseAsk(request: unknown, secrets: Readonly<Record<string, Uint8Array | undefined>> = {}): Ask {
  return {
    ...parseRequest(ask, request),
    secrets: Object.fromEntries(
      Object.entries(secrets).flatMap(([name, secret]): [string, Uint8Array][] =>
        secret === undefined ? [] : [[name, secret]],
      ),
    ) satisfies Secrets,
  };
}
