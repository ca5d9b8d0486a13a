import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { link, open, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { Command } from 'commander';
import { BLOCK_ALGORITHM } from '../../domain/model/block-digest.js';
import { WriteBehind } from '../../domain/transfer/write-behind.js';
import { ThreadedDigest } from '../../file-io/file-digest.js';
import {
  StartUploadRequest,
  UploadImageResponse,
  type DownloadImageResponse,
  type StartUploadResponse,
  type UploadImageRequest,
} from '../../gen/hostler/v1/image_service.js';
import type { StatFileResponse } from '../../gen/hostler/v1/file_service.js';
import { WIRE_IMAGE_SERVICE } from '../../protocol/bulk-messages.js';
import { collectLessOften } from '../../protocol/garbage.js';
import { ask, askStreaming, type Connection } from '../connection.js';
import type { Context } from '../context.js';
import { UsageError } from '../failure.js';
import { events } from '../follow.js';
import { openRegular } from '../local-file.js';
import { bandwidth, targetOptions, writableOf, type TargetFlags } from '../options.js';
import { showInfo } from '../show-result.js';
import { createView, type ProgressView } from '../terminal/progress-view.js';
import { TransferProgress } from '../terminal/transfer-progress.js';
import { exactBytes } from '../text.js';
import { isZeros } from '../../domain/model/zeros.js';

/** Best size of a gRPC message. */
const PIECE_BYTES = 256 * 1024;
/** Bytes that are made durable at a time. */
const SYNC_BYTES = 64 * 1024 * 1024;

/** `hostler upload`: resumes an unfinished upload of the same file and target. */
export function uploadCommand(context: Context): Command {
  return targetOptions(new Command('upload'))
    .description('upload an image file; the same command resumes an interrupted upload')
    .argument('<file>', 'local file')
    .argument('<target>', "path on the daemon's host")
    .requiredOption('-f, --format <format>', 'format of the image')
    .addOption(bandwidth())
    .action((file: string, target: string, flags: TargetFlags & { format: string; bandwidth?: bigint }) =>
      context.use(async (connection) => {
        const view = createView(process.stderr, context.json);
        const options = { target: connection.at(target), view, ...flags };
        const answer = await upload(connection, file, options).finally(() => {
          view.end();
        });
        const text = answer.info === undefined ? `${exactBytes(answer.committedBytes)} sent` : showInfo(answer.info);
        context.print(UploadImageResponse, answer, text);
      }),
    );
}

type UploadOptions = TargetFlags & {
  readonly target: string;
  readonly format: string;
  readonly bandwidth?: bigint;
  readonly view: ProgressView;
};

async function upload(
  { images }: Connection,
  path: string,
  { target, format, bandwidth: rate, view, ...flags }: UploadOptions,
): Promise<UploadImageResponse> {
  const file = await openRegular(path);
  const digest = await digestOf(path);
  collectLessOften();
  try {
    const { size, blocks } = await file.stat({ bigint: true });
    const { overwrite, attributes } = writableOf(flags);
    const onDisk = blocks * 512n;
    const request = StartUploadRequest.fromPartial({
      target,
      format,
      lengthBytes: size,
      dataBytes: onDisk < size ? onDisk : size,
      overwrite,
      attributes,
    });
    const { uploadId, committedBytes } = await ask<StartUploadResponse>((done) => images.startUpload(request, done));
    return await askStreaming<UploadImageResponse, UploadImageRequest>(
      (done) => {
        const { path: method, requestSerialize, responseDeserialize } = WIRE_IMAGE_SERVICE.uploadImage;
        return images.makeClientStreamRequest(method, requestSerialize, responseDeserialize, done);
      },
      async (send) => {
        const header = { uploadId, offset: committedBytes, bandwidthBytesPerSecond: rate };
        await send({ content: { $case: 'header', value: header } });
        let position = 0n;
        const progress = new TransferProgress(view, 'uploading', size);
        for await (const piece of piecesOf(file)) {
          position += BigInt(piece.data.length);
          if (piece.zero) digest.skip(position);
          else digest.reach(position);
          if (position <= committedBytes) continue;
          progress.reach(position);
          // A chunk of which a part was already accepted.
          const data = piece.data.subarray(-Number(position - committedBytes));
          await send({
            content: piece.zero ? { $case: 'zeroBytes', value: BigInt(data.length) } : { $case: 'data', value: data },
          });
        }
        const checksum = { algorithm: BLOCK_ALGORITHM, digest: await digest.digest() };
        await send({ content: { $case: 'checksum', value: checksum } });
      },
    );
  } finally {
    await digest.close();
    await file.close();
  }
}

/** Read separately, in a thread: sending keeps one thread busy. */
async function digestOf(path: string): Promise<ThreadedDigest> {
  return new ThreadedDigest(await open(path), { algorithm: BLOCK_ALGORITHM, wrapError: asError });
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

/** The next chunk is read while one is sent. */
async function* piecesOf(file: FileHandle): AsyncGenerator<{ readonly data: Buffer; readonly zero: boolean }> {
  const read = (position: number) => file.read(Buffer.allocUnsafe(PIECE_BYTES), 0, PIECE_BYTES, position);
  let coming = read(0);
  for (let position = 0; ;) {
    const { buffer, bytesRead } = await coming;
    if (bytesRead === 0) return;
    position += bytesRead;
    coming = read(position);
    coming.catch(() => undefined); // avoids unhandledRejection; awaited as the next chunk
    const data = buffer.subarray(0, bytesRead);
    yield { data, zero: isZeros(data) };
  }
}

/** `hostler download`: the file gets its name once length and digest agree with the daemon's. */
export function downloadCommand(context: Context): Command {
  return new Command('download')
    .description('download an image file; it gets its name when it is complete and verified')
    .argument('<path>', "path on the daemon's host")
    .argument('<file>', 'local file')
    .option('--overwrite', 'replace an existing file')
    .option('--allow-in-use', 'work although a process holds the image')
    .addOption(bandwidth())
    .action((path: string, file: string, flags: { overwrite?: true; allowInUse?: true; bandwidth?: bigint }) =>
      context.use(async ({ images, files, at }) => {
        const target = resolve(file);
        // Checked to save the download. link() below fails if the file exists, and reports other
        // errors.
        const there = await stat(target).catch(() => undefined);
        if (there?.isDirectory() === true) throw new UsageError(`${target} is a folder; name the file in it`);
        if (flags.overwrite !== true && there !== undefined)
          throw new UsageError(`${target} exists; --overwrite replaces it`);
        const part = join(dirname(target), `.hostler-download-${randomBytes(6).toString('hex')}`);
        const view = createView(process.stderr, context.json);
        // In whatever way the command ends, including a signal.
        const discard = () => {
          rmSync(part, { force: true });
        };
        process.once('exit', discard);
        try {
          const request = {
            path: at(path),
            offset: 0n,
            length: undefined,
            allowInUse: flags.allowInUse ?? false,
            bandwidthBytesPerSecond: flags.bandwidth,
          };
          const { path: method, requestSerialize, responseDeserialize } = WIRE_IMAGE_SERVICE.downloadImage;
          const progress = new TransferProgress(view, 'downloading', await lengthOf(files, request.path));
          collectLessOften();
          const answers = images.makeServerStreamRequest(method, requestSerialize, responseDeserialize, request);
          const length = await receive(events(answers), part, progress);
          if (flags.overwrite === true) await rename(part, target);
          else await link(part, target);
          view.end();
          context.printObject({ path: target, lengthBytes: String(length) }, `${target}: ${exactBytes(length)}`);
        } finally {
          view.end();
          process.off('exit', discard);
          await rm(part, { force: true });
        }
      }),
    );
}

/** Unset if it is unknown: the download itself reports the error. */
async function lengthOf(files: Connection['files'], path: string): Promise<bigint | undefined> {
  try {
    const { exists, sizeBytes } = await ask<StatFileResponse>((done) => files.statFile({ path }, done));
    return exists && sizeBytes > 0n ? sizeBytes : undefined;
  } catch {
    return undefined; // needed only by the progress display
  }
}

/** Returns the received length. */
async function receive(
  answers: AsyncIterable<DownloadImageResponse>,
  part: string,
  progress: TransferProgress,
): Promise<bigint> {
  const file = await open(part, 'wx', 0o600);
  const digest = await digestOf(part);
  const synced = new SyncedFile(file);
  try {
    const writes = new WriteBehind(synced, (end) => digest.reach(end));
    let [position, wanted] = [0n, ''];
    for await (const { content } of answers) {
      if (content?.$case === 'data') {
        await writes.write(content.value, position);
        position += BigInt(content.value.length);
      } else if (content?.$case === 'zeroBytes') {
        await writes.drain();
        position += content.value;
        digest.skip(position);
      } else if (content?.$case === 'checksum' && content.value.algorithm === BLOCK_ALGORITHM) {
        wanted = content.value.digest;
      }
      progress.reach(position);
    }
    await writes.drain();
    await file.truncate(Number(position));
    if (wanted !== (await digest.digest()))
      throw new UsageError('the received data does not have the digest that the daemon sent');
    await synced.sync();
    return position;
  } finally {
    await digest.close();
    await file.close();
  }
}

/** Makes written data durable on the way, not all of it at the end. */
class SyncedFile {
  #unsynced = 0;
  #syncing: Promise<void> = Promise.resolve();

  constructor(private readonly file: FileHandle) {}

  async write(data: Uint8Array, position: bigint): Promise<void> {
    for (let done = 0; done < data.length;)
      done += (await this.file.write(data, done, data.length - done, Number(position) + done)).bytesWritten;
    this.#unsynced += data.length;
    if (this.#unsynced < SYNC_BYTES) return;
    this.#unsynced = 0;
    await this.#syncing;
    this.#syncing = this.file.datasync();
    this.#syncing.catch(() => undefined); // the next write or sync rejects with it
  }

  async sync(): Promise<void> {
    await this.#syncing;
    await this.file.sync();
  }
}
