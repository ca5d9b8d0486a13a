import { randomBytes } from 'node:crypto';
import { link, open, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { Command } from 'commander';
import { BLOCK_ALGORITHM, StreamedBlocks } from '../domain/block-digest.js';
import {
  StartUploadRequest,
  UploadImageResponse,
  type DownloadImageResponse,
  type StartUploadResponse,
  type UploadImageRequest,
} from '../gen/hostler/v1/image_service.js';
import { ask, askStreaming, type Connection } from './connection.js';
import type { Context } from './context.js';
import { UsageError } from './failure.js';
import { events } from './follow.js';
import { address, targetOptions, writableOf, type TargetFlags } from './options.js';
import { showInfo } from './show-result.js';
import { exactBytes } from './text.js';

/** What gRPC carries best in one message. */
const PIECE_BYTES = 256 * 1024;
const ZEROS = Buffer.alloc(PIECE_BYTES);

export function uploadCommand(context: Context): Command {
  return targetOptions(new Command('upload'))
    .description('send an image file; the same command again goes on where a broken one ended')
    .argument('<file>', 'here')
    .argument('<target>', "on the daemon's host")
    .requiredOption('-f, --format <format>', 'format of the image')
    .action((file: string, target: string, flags: TargetFlags & { format: string }) =>
      context.use(async (connection) => {
        const answer = await upload(connection, file, { target: address(target), ...flags });
        const text = answer.info === undefined ? `${exactBytes(answer.committedBytes)} sent` : showInfo(answer.info);
        context.print(UploadImageResponse.toJSON(answer), text);
      }),
    );
}

async function upload(
  { images }: Connection,
  path: string,
  { target, format, ...flags }: TargetFlags & { target: string; format: string },
): Promise<UploadImageResponse> {
  const file = await open(path);
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
      (done) => images.uploadImage(done),
      async (send) => {
        await send({ content: { $case: 'header', value: { uploadId, offset: committedBytes } } });
        const digest = new StreamedBlocks();
        let position = 0n;
        for await (const piece of piecesOf(file)) {
          if (piece.zero) digest.zeros(BigInt(piece.data.length));
          else digest.update(piece.data);
          position += BigInt(piece.data.length);
          if (position <= committedBytes) continue;
          // A piece that was taken in part before.
          const data = piece.data.subarray(-Number(position - committedBytes));
          await send({
            content: piece.zero ? { $case: 'zeroBytes', value: BigInt(data.length) } : { $case: 'data', value: data },
          });
        }
        const checksum = { algorithm: BLOCK_ALGORITHM, digest: digest.digest() };
        await send({ content: { $case: 'checksum', value: checksum } });
      },
    );
  } finally {
    await file.close();
  }
}

async function* piecesOf(file: FileHandle): AsyncGenerator<{ readonly data: Buffer; readonly zero: boolean }> {
  for (let position = 0; ;) {
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(PIECE_BYTES), 0, PIECE_BYTES, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    const data = buffer.subarray(0, bytesRead);
    yield { data, zero: ZEROS.subarray(0, bytesRead).equals(data) };
  }
}

export function downloadCommand(context: Context): Command {
  return new Command('download')
    .description('take an image file; it gets its name here when everything has come and agrees')
    .argument('<path>', "on the daemon's host")
    .argument('<file>', 'here')
    .option('--overwrite', 'replace an existing file')
    .option('--allow-in-use', 'work although a process holds the image')
    .action((path: string, file: string, flags: { overwrite?: true; allowInUse?: true }) =>
      context.use(async ({ images }) => {
        const target = resolve(file);
        // To spare the download: link() below refuses what exists, and says what else is wrong.
        if (flags.overwrite !== true && (await stat(target).catch(() => undefined)) !== undefined)
          throw new UsageError(`${target} exists; --overwrite replaces it`);
        const part = join(dirname(target), `.hostler-download-${randomBytes(6).toString('hex')}`);
        try {
          const request = {
            path: address(path),
            offset: 0n,
            length: undefined,
            allowInUse: flags.allowInUse ?? false,
          };
          const length = await receive(events(images.downloadImage(request)), part);
          if (flags.overwrite === true) await rename(part, target);
          else await link(part, target);
          context.print({ path: target, lengthBytes: String(length) }, `${target}: ${exactBytes(length)}`);
        } finally {
          await rm(part, { force: true });
        }
      }),
    );
}

/** The length of what came. */
async function receive(answers: AsyncIterable<DownloadImageResponse>, part: string): Promise<bigint> {
  const file = await open(part, 'wx', 0o600);
  try {
    const digest = new StreamedBlocks();
    let [position, agreed] = [0, false];
    for await (const { content } of answers) {
      if (content?.$case === 'data') {
        const written = file.write(content.value, 0, content.value.length, position);
        digest.update(content.value);
        await written;
        position += content.value.length;
      } else if (content?.$case === 'zeroBytes') {
        digest.zeros(content.value);
        position += Number(content.value);
      } else if (content?.$case === 'checksum') {
        agreed = content.value.algorithm === BLOCK_ALGORITHM && content.value.digest === digest.digest();
      }
    }
    if (!agreed) throw new UsageError('what came does not agree with its digest');
    await file.truncate(position);
    await file.sync();
    return BigInt(position);
  } finally {
    await file.close();
  }
}
