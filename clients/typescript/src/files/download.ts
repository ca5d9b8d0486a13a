/** Getting an image file from the daemon's host. */
import { randomBytes } from 'node:crypto';
import { link, open, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { only, type Caller } from '../calls.js';
import { Code, ConfigurationError, ConnectionError, HostlerError } from '../errors.js';
import {
  DigestImageRequestSchema,
  DownloadImageRequestSchema,
  ImageService,
  type DownloadImageResponse,
} from '../gen/hostler/v1/image_service_pb.js';
import { Operation } from '../operation.js';
import { Backoff } from '../retry.js';
import { BLOCK_ALGORITHM, BlockDigest } from './block-digest.js';
import type { TransferOptions } from './upload.js';

/** Fields of DownloadImage, and what may become of a file that is there. */
export interface DownloadRequest extends Omit<
  MessageInitShape<typeof DownloadImageRequestSchema>,
  '$typeName' | '$unknown' | 'offset' | 'length' | 'bandwidthBytesPerSecond'
> {
  readonly path: string;
  /** Replace a local file of that name; otherwise it is an error. */
  readonly overwrite?: boolean;
}

/**
 * Gets an image file, and resolves with its length when it has its name here: once it is complete,
 * durable, and has the digest that the daemon says. After a lost connection or a restart of the
 * daemon it goes on with the next byte, and then asks the daemon for the digest of the whole file.
 * Rejects with HostlerError, with ConfigurationError if there is such a file, and if the file
 * cannot be written.
 */
export async function download(
  caller: Caller,
  { overwrite = false, ...request }: DownloadRequest,
  file: string,
  options: TransferOptions = {},
): Promise<number> {
  const target = resolve(file);
  const taken = `${target} exists, and overwrite is not set`;
  // To spare the download: link() below refuses what exists, too.
  if (!overwrite && (await exists(target))) throw new ConfigurationError(taken);
  const part = join(dirname(target), `.hostler-download-${randomBytes(6).toString('hex')}`);
  try {
    const length = await receive(caller, request, part, options);
    if (overwrite) await rename(part, target);
    else
      await link(part, target).catch((error: unknown) => {
        throw isCode(error, 'EEXIST') ? new ConfigurationError(taken, { cause: error }) : error;
      });
    return length;
  } finally {
    await rm(part, { force: true });
  }
}

type Source = Omit<DownloadRequest, 'overwrite'>;

async function receive(caller: Caller, request: Source, part: string, options: TransferOptions): Promise<number> {
  const file = await open(part, 'wx', 0o600);
  try {
    const all = new Received(file, options);
    const backoff = new Backoff(options.retry);
    for (let attempt = 1; ; attempt++) {
      try {
        const stated = await getRest(caller, request, all, options);
        // The daemon's digest is of what this stream has carried.
        const wanted = attempt === 1 ? stated : await digestOnHost(caller, request, options);
        if (wanted !== all.digest.digest()) throw mismatch(request.path);
        await file.truncate(all.position);
        await file.sync();
        return all.position;
      } catch (error) {
        if (all.moved) backoff.reset();
        await backoff.wait(error, options.signal);
      }
    }
  } finally {
    await file.close();
  }
}

/** The rest of the file. Returns the digest at the end of the stream. */
async function getRest(
  caller: Caller,
  request: Source,
  all: Received,
  { signal, bytesPerSecond }: TransferOptions,
): Promise<string> {
  all.moved = false;
  const rate = bytesPerSecond === undefined ? {} : { bandwidthBytesPerSecond: BigInt(bytesPerSecond) };
  const message = create(DownloadImageRequestSchema, { ...request, offset: BigInt(all.position), ...rate });
  for await (const { content } of caller.stream(ImageService.method.downloadImage, only(message), { signal })) {
    if (content.case === 'checksum') return content.value.digest;
    await all.take(content);
  }
  throw new ConnectionError(caller.endpoint.address, 'connection-lost', 'the download broke off', 'Call again.');
}

async function digestOnHost(caller: Caller, { path }: Source, { signal, retry }: TransferOptions): Promise<string> {
  const settings = { ...(signal === undefined ? {} : { signal }), ...(retry === undefined ? {} : { retry }) };
  const request = create(DigestImageRequestSchema, { path });
  const result = await new Operation(caller, ImageService.method.digestImage, request, settings).result('digest');
  if (result.algorithm !== BLOCK_ALGORITHM) throw new TypeError(`unknown algorithm of a digest: ${result.algorithm}`);
  return result.digest;
}

/** What has arrived. */
class Received {
  position = 0;
  /** Something came with the last attempt. */
  moved = false;
  readonly digest = new BlockDigest();

  constructor(
    private readonly file: FileHandle,
    private readonly options: TransferOptions,
  ) {}

  async take(content: DownloadImageResponse['content']): Promise<void> {
    if (content.case === 'data') {
      const { value } = content;
      for (let done = 0; done < value.length;)
        done += (await this.file.write(value, done, value.length - done, this.position + done)).bytesWritten;
      this.digest.update(value);
      this.position += value.length;
    } else if (content.case === 'zeroBytes') {
      this.digest.skip(Number(content.value));
      this.position += Number(content.value);
    }
    this.moved = true;
    this.options.onProgress?.({ doneBytes: this.position });
  }
}

function mismatch(path: string): HostlerError {
  const message = `the bytes that were received of ${path} do not have the digest that the daemon says`;
  return new HostlerError({ code: Code.DATA_LOSS, message, details: [] });
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (isCode(error, 'ENOENT')) return false;
    throw error;
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
