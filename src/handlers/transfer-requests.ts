/** Parsers of requests that transfer an image's bytes through this connection. */
import * as z from 'zod';
import { invalidFields } from '../domain/model/errors.js';
import type { DownloadSpec } from '../domain/transfer/download-image.js';
import type { UploadChecksum, UploadPiece } from '../domain/transfer/open-upload.js';
import type { UploadSpec } from '../domain/transfer/upload-image.js';
import type { UploadImageRequest } from '../gen/hostler/v1/image_service.js';
import type { ExportSpec } from '../domain/transfer/open-export.js';
import { address, attributes, defined, format, parseRequest, rate, requestId } from './fields.js';
import { attachedAsk, type Parsed } from './running.js';
import { CHECKSUM_ALGORITHMS } from '../domain/model/checksum.js';

const safe = z
  .bigint()
  .refine((value) => value <= BigInt(Number.MAX_SAFE_INTEGER), `must be at most ${String(Number.MAX_SAFE_INTEGER)}`);

const checksum: z.ZodType<UploadChecksum> = z.object({
  algorithm: z.enum(CHECKSUM_ALGORITHMS, `must be one of ${CHECKSUM_ALGORITHMS.join(', ')}`),
  digest: z
    .string()
    .regex(/^(?:[0-9a-fA-F]{2})+$/, 'must be hexadecimal')
    .transform((digest) => digest.toLowerCase()),
});

const start = z
  .object({
    target: address,
    format,
    lengthBytes: safe,
    dataBytes: safe.optional(),
    checksum: checksum.optional(),
    overwrite: z.boolean(),
    attributes,
    requestId,
  })
  .refine(({ dataBytes = 0n, lengthBytes }) => dataBytes <= lengthBytes, {
    path: ['dataBytes'],
    error: 'must be at most length_bytes',
  });
/**
 * StartUpload as a spec; lengths in bytes, data_bytes is the whole length by default. Fails with
 * INVALID_FIELD, as all parsers here.
 */
export function parseStartUpload(request: unknown): { readonly spec: UploadSpec; readonly requestId: string } {
  const { dataBytes, requestId: id, ...rest } = parseRequest(start, request);
  return { spec: defined({ ...rest, dataBytes: dataBytes ?? rest.lengthBytes }), requestId: id };
}

const header = z.object({
  uploadId: z.string().min(1, 'required'),
  offset: safe,
  bandwidthBytesPerSecond: rate.optional(),
});
/** The header from the first message, and the content of all others. */
export async function parseUpload(requests: AsyncIterable<UploadImageRequest>): Promise<{
  readonly uploadId: string;
  readonly offset: bigint;
  /** Unset: no limit. */
  readonly bandwidthBytesPerSecond?: bigint | undefined;
  readonly pieces: AsyncIterable<UploadPiece>;
}> {
  const messages = requests[Symbol.asyncIterator]();
  const first = await messages.next();
  const content = first.done === true ? undefined : first.value.content;
  if (content?.$case !== 'header')
    throw invalidFields([{ field: 'header', description: 'the first message must be the header' }]);
  return { ...parseRequest(header, content.value), pieces: piecesOf(messages) };
}

async function* piecesOf(messages: AsyncIterator<UploadImageRequest>): AsyncGenerator<UploadPiece, void> {
  for (let next = await messages.next(); next.done !== true; next = await messages.next()) {
    const { content } = next.value;
    switch (content?.$case) {
      case 'data':
        yield { data: content.value };
        break;
      case 'zeroBytes':
        yield { zeros: content.value };
        break;
      case 'checksum':
        yield { checksum: parseRequest(z.object({ checksum }), { checksum: content.value }).checksum };
        break;
      case 'header':
      case undefined:
        throw invalidFields([{ field: 'content', description: 'must be data, zero_bytes or checksum' }]);
    }
  }
}

const download = z.object({
  path: address,
  offset: safe,
  length: safe.optional(),
  allowInUse: z.boolean(),
  bandwidthBytesPerSecond: rate.optional(),
});
/** DownloadImage as a spec; offset and length in bytes, no length means up to the end. */
export function parseDownload(request: unknown): DownloadSpec {
  const { path, bandwidthBytesPerSecond: bytesPerSecond, ...rest } = parseRequest(download, request);
  return defined({ address: path, bytesPerSecond, ...rest });
}

const exported = z.object({ path: address, peer: z.string().min(1, 'required'), allowInUse: z.boolean(), requestId });
/** OpenExport as a spec. */
export function parseOpenExport(request: unknown): Parsed<ExportSpec> {
  const { path, requestId: id, ...rest } = parseRequest(exported, request);
  return { spec: { address: path, ...rest }, ask: attachedAsk(id) };
}

const closed = z.object({ exportId: z.string().min(1, 'required') });
/** CloseExport: the id of the export. */
export const parseCloseExport = (request: unknown) => parseRequest(closed, request).exportId;
