/** Parsers of requests that fetch; possible secrets are separated from the spec. */
import * as z from 'zod';
import type { EvictSpec, PinSpec, PrefetchSpec } from '../domain/cache/cache-verbs.js';
import type { FetchRawSpec } from '../domain/fetch/fetch-raw-image.js';
import { OPENS } from '../domain/images/unlocked.js';
import {
  address,
  ask,
  attributes,
  defined,
  format,
  orUnset,
  passphrase,
  parseRequest,
  parseVerb,
  positive,
  rate,
  requestId,
  targetFormat,
} from './fields.js';
import { checkLayout, layout, layoutField, type LayoutFields } from './layout/fields.js';
import type { Parsed } from './running.js';
import { CHECKSUM_ALGORITHMS, DIGEST_DIGITS, type ExpectedChecksum } from '../domain/model/checksum.js';
import type { Secrets } from '../domain/model/secrets.js';
import { isRbd, type ImageAddress } from '../domain/model/address.js';
import type { ImageFormat } from '../domain/model/image-format.js';
import type { FetchSpec } from '../domain/fetch/fetch-spec.js';
import { type ParsedSource, type SourceDefaults, sourceSchema } from './sources/fetch-source.js';

const FETCH_ALGORITHMS = CHECKSUM_ALGORITHMS.filter((name) => name !== 'sha256-4m-blocks');

const checksum = z
  .object({
    algorithm: z.enum(FETCH_ALGORITHMS, `must be one of ${FETCH_ALGORITHMS.join(', ')}`),
    digest: z
      .string()
      .regex(/^[0-9a-fA-F]*$/, 'must be hexadecimal')
      .transform((digest) => digest.toLowerCase()),
  })
  .superRefine(({ algorithm, digest }, context) => {
    const length = DIGEST_DIGITS[algorithm];
    if (digest.length !== length)
      context.addIssue({ code: 'custom', path: ['digest'], message: `${algorithm} has ${String(length)} digits` });
  })
  .transform((given): ExpectedChecksum => given)
  .optional();

interface FetchFields extends LayoutFields {
  readonly source?: Partial<ParsedSource>;
  readonly target?: ImageAddress;
  readonly useCache: boolean;
  readonly overlay: boolean;
  readonly targetFormat?: ImageFormat | undefined;
  readonly sourceSecret?: Uint8Array | undefined;
}

function checkFetch(request: FetchFields, context: z.RefinementCtx): void {
  const { source, useCache, overlay, targetFormat: wanted, sourceSecret } = request;
  const issue = (field: string, message: string) => {
    context.addIssue({ code: 'custom', path: [field], message });
  };
  if (useCache && isFile(source)) refuseFile(context, ['useCache']);
  if (overlay && !useCache) issue('overlay', 'only with use_cache');
  if (overlay && wanted !== undefined && wanted !== 'qcow2') issue('targetFormat', 'an overlay is qcow2');
  if (sourceSecret !== undefined && wanted === undefined) issue('sourceSecret', 'needs target_format');
  if (sourceSecret !== undefined && useCache) issue('sourceSecret', 'the cache keeps nothing that a passphrase opened');
  if (wanted === 'luks') issue('targetFormat', 'luks needs a passphrase: use ConvertImage');
  checkFetchLayout(overlay ? 'qcow2' : wanted, request, context);
}

/**
 * A layout cannot be chosen for bytes that are fetched unchanged, nor in a cluster, which has its
 * own.
 */
function checkFetchLayout(
  wanted: ImageFormat | undefined,
  request: LayoutFields & { readonly target?: ImageAddress },
  context: z.RefinementCtx,
): void {
  const field = layoutField(request);
  if (field === undefined) return;
  const problem =
    wanted === undefined
      ? 'needs target_format'
      : request.target !== undefined && isRbd(request.target)
        ? 'not in a cluster'
        : undefined;
  if (problem !== undefined) context.addIssue({ code: 'custom', path: [field], message: problem });
  else if (wanted !== undefined) checkLayout(wanted, request, context);
}

/** The request with its rate in the form of a spec. */
function withRate<T extends { readonly bandwidthBytesPerSecond?: bigint | undefined }>(request: T) {
  const { bandwidthBytesPerSecond: bytesPerSecond, ...rest } = request;
  return { ...rest, bytesPerSecond };
}

/** A name in an archive. */
const archiveMember = orUnset(z.string().refine((name) => !name.includes('\0'), 'must not contain NUL'));

/**
 * Parsers of FetchImage, PrefetchImage and FetchRawImage with the host's default sources. They put
 * secrets into `ask`, never into the spec, and fail with INVALID_FIELD.
 */
export function fetchParsers(defaults: SourceDefaults) {
  const common = {
    source: sourceSchema(defaults),
    target: address,
    maxSizeBytes: positive.optional(),
    checksum,
    bandwidthBytesPerSecond: rate.optional(),
    overwrite: z.boolean(),
    attributes,
  };
  const image = z
    .object({
      ...common,
      targetFormat: orUnset(targetFormat),
      sourceFormat: orUnset(format),
      archiveMember,
      useCache: z.boolean(),
      overlay: z.boolean(),
      sourceSecret: passphrase,
      ...layout,
    })
    .superRefine(refuseTwo)
    .superRefine(checkFetch);
  const raw = z.object(common).superRefine(refuseTwo);
  const { source, maxSizeBytes, bandwidthBytesPerSecond } = common;
  const prefetch = z
    .object({
      ...{ source, maxSizeBytes, bandwidthBytesPerSecond, checksum },
      sourceFormat: orUnset(format),
      archiveMember,
      targetFormat: orUnset(targetFormat),
    })
    .superRefine(refuseTwo)
    .superRefine(({ source: from }, context) => {
      if (isFile(from)) refuseFile(context, ['source']);
    });
  return {
    fetch: (request: unknown): Parsed<FetchSpec> => {
      const { source: from, targetFormat: wanted, sourceSecret, ...rest } = withRate(parseVerb(image, request));
      const spec = { ...rest, source: from.source, format: wanted, sourceEncrypted: sourceSecret !== undefined };
      return parsed(
        request,
        spec,
        sourceSecret === undefined ? from.secrets : { ...from.secrets, [OPENS]: sourceSecret },
      );
    },
    prefetch: (request: unknown): Parsed<PrefetchSpec> => {
      const { source: from, targetFormat: wanted, ...rest } = withRate(parseVerb(prefetch, request));
      return parsed(request, { ...rest, source: from.source, format: wanted }, from.secrets);
    },
    fetchRaw: (request: unknown): Parsed<FetchRawSpec> => {
      const { source: from, ...rest } = withRate(parseVerb(raw, request));
      return parsed(request, { ...rest, source: from.source }, from.secrets);
    },
  };
}

function parsed<T extends object>(request: unknown, spec: T, secrets: Secrets) {
  return { spec: defined(spec), ask: { ...parseRequest(ask, request), secrets } };
}

/** Refuses a request that has two checksums, because it is unclear which one counts. */
function refuseTwo(given: { source?: Partial<ParsedSource>; checksum?: unknown }, context: z.RefinementCtx): void {
  // Unset if the source itself is invalid.
  const source = given.source?.source;
  if (given.checksum !== undefined && source?.kind === 'http' && source.checksumUrl !== undefined)
    context.addIssue({ code: 'custom', path: ['checksum'], message: 'not beside source.http.checksum_url' });
}

/** Also called for an invalid source, which is then missing. */
function isFile(parsedSource: Partial<ParsedSource> | undefined): boolean {
  return parsedSource?.source?.kind === 'file';
}

function refuseFile(context: z.RefinementCtx, path: string[]): void {
  context.addIssue({ code: 'custom', path, message: 'the cache is not for files of this host' });
}

const cacheId = z.string().regex(/^[0-9a-f]{24}-[0-9a-z]{26}$/, 'must be the id of an entry of the cache');

/** Id of an entry in this host's cache, or of a base in a pool. */
const anyId = z.union(
  [cacheId, z.string().regex(/^rbd:[^\p{Cc}/@:]+\/[0-9a-f]{32}$/u)],
  'must be the id of an entry of the cache, or of a base in a pool',
);

/** A file that was set aside may have any name. */
const evictedId = z.union(
  [anyId, z.string().regex(/^(?!rbd:|\.{1,2}$)[^\p{Cc}/]{1,255}$/u)],
  'must be the id of an entry of the cache or of a base in a pool, or the name of a file that was set aside',
);

const evict = z.object({ cacheIds: z.array(evictedId), targetBytes: z.bigint().optional() });
/**
 * EvictCachedImages as a spec: ids, or bytes down to which the cache shrinks. Fails with
 * INVALID_FIELD.
 */
export function parseEvict(request: unknown): Parsed<EvictSpec> {
  const { cacheIds: ids, targetBytes } = parseVerb(evict, request);
  return parsed(request, { ids, targetBytes }, {});
}

const pin = z.object({ cacheId: anyId, pinned: z.boolean(), requestId });
/** PinCachedImage: which entry, whether it is pinned. Fails with INVALID_FIELD. */
export function parsePin(request: unknown): { readonly spec: PinSpec; readonly requestId: string } {
  const { cacheId: id, pinned, requestId: key } = parseRequest(pin, request);
  return { spec: { id, pinned }, requestId: key };
}

/** The format that `domain/cache/cache-page.ts` writes. */
const place = z.string().regex(/^\d{15}\.[0-9a-f]{24}-[0-9a-z]{26}$/);

const list = z.object({
  pageSize: z.number().min(1).optional(),
  pageToken: z.union([z.literal(''), place, anyId], 'must be a next_page_token'),
  pool: z.string(),
});
/**
 * ListCachedImages: page size, token and pool. Fails with INVALID_FIELD for a token that this
 * service did not make.
 */
export const parseList = (request: unknown) => parseRequest(list, request);
