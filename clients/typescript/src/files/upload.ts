/** Sending an image file to the daemon's host. */
import { open, type FileHandle } from 'node:fs/promises';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { only, type CallOptions, type Caller } from '../calls.js';
import type { ImageInfo } from '../gen/hostler/v1/image_pb.js';
import {
  ImageService,
  StartUploadRequestSchema,
  UploadImageRequestSchema,
  type StartUploadRequest,
  type UploadImageRequest,
  type UploadImageResponse,
} from '../gen/hostler/v1/image_service_pb.js';
import { ConnectionError } from '../errors.js';
import { Backoff, type RetryPolicy } from '../retry.js';
import { BLOCK_ALGORITHM, BLOCK_BYTES, BlockDigest } from './block-digest.js';

/** What gRPC carries best in one message. */
const PIECE_BYTES = 256 * 1024;
const ZEROS = Buffer.alloc(PIECE_BYTES);
const DISK_BLOCK = 512;

/** Options of uploads and downloads. */
export interface TransferOptions extends Omit<CallOptions, 'timeoutMs'> {
  /** Called with the bytes that are sent or received, of so many, if that is known. */
  readonly onProgress?: (progress: { readonly doneBytes: number; readonly totalBytes?: number }) => void;
  /** At most so many bytes of data in a second. */
  readonly bytesPerSecond?: number;
  /** How the transfer goes on after a lost connection or a restart. */
  readonly retry?: RetryPolicy;
}

/** Fields of StartUpload that the file does not say. */
export type UploadRequest = Omit<
  MessageInitShape<typeof StartUploadRequestSchema>,
  '$typeName' | '$unknown' | 'lengthBytes' | 'dataBytes' | 'checksum'
> & { readonly target: string; readonly format: string };

/**
 * Sends a file, and resolves when it has its name on the host. After a lost connection or a restart
 * of the daemon it goes on where the daemon has the bytes durable; the same call of another process
 * does too. Rejects with HostlerError, and if the file cannot be read.
 */
export async function upload(
  caller: Caller,
  path: string,
  request: UploadRequest,
  options: TransferOptions = {},
): Promise<ImageInfo> {
  const file = await open(path);
  try {
    const { size, blocks } = await file.stat();
    const onDisk = Math.min(size, blocks * DISK_BLOCK);
    const sizes = { lengthBytes: BigInt(size), dataBytes: BigInt(onDisk) };
    const message = create(StartUploadRequestSchema, { ...request, ...sizes });
    return await sendUntilPublished(caller, { file, size, digest: new BlockDigest() }, message, options);
  } finally {
    await file.close();
  }
}

interface LocalFile {
  readonly file: FileHandle;
  readonly size: number;
  readonly digest: BlockDigest;
}

async function sendUntilPublished(
  caller: Caller,
  local: LocalFile,
  message: StartUploadRequest,
  options: TransferOptions,
): Promise<ImageInfo> {
  const { signal } = options;
  const backoff = new Backoff(options.retry);
  for (let reached = 0n; ;) {
    let error: unknown;
    try {
      const started = await caller.one(ImageService.method.startUpload, only(message), { signal });
      if (started.info !== undefined) return started.info;
      if (started.committedBytes > reached) backoff.reset();
      reached = started.committedBytes;
      const answer = await send(caller, local, started, options);
      if (answer.info !== undefined) return answer.info;
      // The daemon took the end of the stream for the end of this connection.
      error = new ConnectionError(caller.endpoint.address, 'connection-lost', 'the upload broke off', 'Call again.');
    } catch (failure) {
      error = failure;
    }
    await backoff.wait(error, signal);
  }
}

async function send(
  caller: Caller,
  local: LocalFile,
  { uploadId, committedBytes }: { readonly uploadId: string; readonly committedBytes: bigint },
  { signal, onProgress, bytesPerSecond }: TransferOptions,
): Promise<UploadImageResponse> {
  const rate = bytesPerSecond === undefined ? {} : { bandwidthBytesPerSecond: BigInt(bytesPerSecond) };
  const header = { uploadId, offset: committedBytes, ...rate };
  const requests = async function* (): AsyncGenerator<UploadImageRequest, void> {
    yield create(UploadImageRequestSchema, { content: { case: 'header', value: header } });
    for await (const { end, content } of contentAfter(local, Number(committedBytes))) {
      yield create(UploadImageRequestSchema, { content });
      onProgress?.({ doneBytes: end, totalBytes: local.size });
    }
    const checksum = { algorithm: BLOCK_ALGORITHM, digest: local.digest.digest() };
    yield create(UploadImageRequestSchema, { content: { case: 'checksum', value: checksum } });
  };
  return caller.one(ImageService.method.uploadImage, requests(), { signal });
}

type Content =
  | { readonly case: 'data'; readonly value: Uint8Array<ArrayBuffer> }
  | { readonly case: 'zeroBytes'; readonly value: bigint };

/**
 * The file's content after an offset, zeros as runs. Bytes before it are read only as far as the
 * digest does not know them.
 */
async function* contentAfter({ file, digest }: LocalFile, committed: number) {
  digest.rewind();
  let zeros = 0;
  let position = Math.min(digest.knownBytes, Math.floor(committed / BLOCK_BYTES) * BLOCK_BYTES);
  for (;;) {
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(PIECE_BYTES), 0, PIECE_BYTES, position);
    const data = buffer.subarray(0, bytesRead);
    const isZero = data.equals(ZEROS.subarray(0, bytesRead));
    // Whole blocks that the digest has are read once more only to be sent.
    const known = Math.max(0, Math.min(bytesRead, digest.knownBytes - position));
    if (isZero) digest.skip(bytesRead - known);
    else digest.update(data.subarray(known));
    position += bytesRead;
    const fresh = data.subarray(-Math.min(bytesRead, Math.max(0, position - committed)));
    const sent = position > committed ? fresh : data.subarray(0, 0);
    if (isZero) zeros += sent.length;
    if (zeros > 0 && (!isZero || bytesRead === 0)) {
      const content: Content = { case: 'zeroBytes', value: BigInt(zeros) };
      yield { end: position - (isZero ? 0 : sent.length), content };
      zeros = 0;
    }
    if (bytesRead === 0) return;
    if (!isZero && sent.length > 0) {
      const content: Content = { case: 'data', value: sent };
      yield { end: position, content };
    }
  }
}
