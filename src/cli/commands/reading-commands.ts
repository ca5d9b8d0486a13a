import type { ClientReadableStream } from '@grpc/grpc-js';
import { Command } from 'commander';
import { Status } from '../../gen/google/rpc/status.js';
import { Extent } from '../../gen/hostler/v1/image.js';
import {
  type BatchGetImageInfoResponse,
  DetectDiskTypeResponse,
  DetectionBasis,
  GetImageInfoRequest,
  GetImageInfoResponse,
  type MapImageResponse,
  MeasureImageResponse,
} from '../../gen/hostler/v1/image_service.js';
import { ImageDescription } from '../../gen/hostler/v1/inventory.js';
import { ask } from '../connection.js';
import type { Context } from '../context.js';
import { exitCode, failureOf } from '../failure.js';
import { events } from '../follow.js';
import { passphraseFile, secretOf, type PassphraseFlags } from '../passphrase.js';
import { ExtentDrawing, kindOf } from '../draw-extents.js';
import { showChain, showInfo } from '../show-result.js';
import { exactBytes, listing, printable } from '../text.js';

/** `hostler image …`: the verbs that only read. */
export function readingCommands(context: Context): Command[] {
  return [
    infoCommand(context),
    detectCommand(context),
    inspectCommand(context),
    mapCommand(context),
    measureCommand(context),
  ];
}

function infoCommand(context: Context): Command {
  return new Command('info')
    .description('what images are')
    .argument('<path...>')
    .option(
      '-f, --format <format>',
      'declared format; unset: detected from the content, which a guest may have written',
    )
    .option('--chain', 'follow the backing chain; only with --format')
    .action((paths: readonly [string, ...string[]], { format, chain = false }: { format?: string; chain?: boolean }) =>
      context.use(async ({ images, at }) => {
        const [path, ...more] = paths;
        if (more.length > 0) {
          const request = { paths: paths.map(at), format, backingChain: chain };
          await showMany(context, request.paths, images.batchGetImageInfo(request));
          return;
        }
        const request = GetImageInfoRequest.fromPartial({ path: at(path), format, backingChain: chain });
        const answer = await ask<GetImageInfoResponse>((done) => images.getImageInfo(request, done));
        const layers = answer.info === undefined ? [] : [answer.info, ...answer.backingChain];
        context.print(GetImageInfoResponse, answer, layers.map(showInfo).join('\n\n'));
      }),
    );
}

/**
 * Shows each result as it arrives; the exit code is that of the first image that could not be
 * described.
 */
async function showMany(
  context: Context,
  paths: readonly string[],
  stream: ClientReadableStream<BatchGetImageInfoResponse>,
): Promise<void> {
  await context.list('results', ImageDescription, resultsOf(stream), ({ outcome, backingChain, index }) => {
    if (outcome?.$case === 'info') return `${[outcome.value, ...backingChain].map(showInfo).join('\n\n')}\n`;
    const { message, reason = '' } = failureOf(outcome?.value ?? Status.create());
    const path = paths[index] ?? '';
    return `${printable(message.startsWith(path) ? message : `${path}: ${message}`)} [${reason}]\n`;
  });
}

/** Sets the exit code by the first error. */
async function* resultsOf(stream: ClientReadableStream<BatchGetImageInfoResponse>): AsyncGenerator<ImageDescription> {
  for await (const { results } of events(stream))
    for (const result of results) {
      if (result.outcome?.$case === 'error') process.exitCode ??= exitCode(failureOf(result.outcome.value));
      yield result;
    }
}

function detectCommand(context: Context): Command {
  return new Command('detect')
    .description(
      'the type of a disk, by its path or its content; never trust the content of a disk that a guest writes',
    )
    .argument('<path>')
    .action((path: string) =>
      context.use(async ({ images, at }) => {
        const answer = await ask<DetectDiskTypeResponse>((done) => images.detectDiskType({ path: at(path) }, done));
        const basis = answer.basis === DetectionBasis.DETECTION_BASIS_PATH ? 'path' : 'content';
        context.print(DetectDiskTypeResponse, answer, `${answer.diskType ?? 'unknown'} (by its ${basis})`);
      }),
    );
}

function inspectCommand(context: Context): Command {
  return new Command('inspect')
    .description('the header, the findings and the backing chain as a tree')
    .argument('<path>')
    .option('-f, --format <format>', 'declared format; without it the chain is not followed')
    .action((path: string, { format }: { format?: string }) =>
      context.use(async ({ images, at }) => {
        const request = GetImageInfoRequest.fromPartial({
          path: at(path),
          format,
          backingChain: format !== undefined,
        });
        const answer = await ask<GetImageInfoResponse>((done) => images.getImageInfo(request, done));
        const { info, backingChain } = answer;
        const text = info === undefined ? '' : `${showInfo(info)}\n\n${showChain(info, backingChain)}`;
        context.print(GetImageInfoResponse, answer, text);
      }),
    );
}

function mapCommand(context: Context): Command {
  return new Command('map')
    .description('which parts of the disk are data, zeros or holes')
    .argument('<path>')
    .requiredOption('-f, --format <format>', 'format of the image')
    .addOption(passphraseFile())
    .action((path: string, { format, passphraseFile: given }: { format: string } & PassphraseFlags) =>
      context.use(async ({ images, at }) => {
        const request = { path: at(path), format, secret: secretOf(given) };
        const drawing = new ExtentDrawing();
        await context.list('extents', Extent, extentsOf(images.mapImage(request)), (extent) => {
          drawing.add(extent);
          return showExtent(extent);
        });
        if (!context.json) process.stdout.write(`\n${drawing.toString()}\n`);
      }),
    );
}

function measureCommand(context: Context): Command {
  return new Command('measure')
    .description('how much space an image takes in another format')
    .argument('<path>')
    .requiredOption('-f, --format <format>', 'format of the image')
    .requiredOption('-O, --target-format <format>', 'the other format')
    .addOption(passphraseFile())
    .action((path: string, flags: { format: string; targetFormat: string } & PassphraseFlags) =>
      context.use(async ({ images, at }) => {
        const { format, targetFormat, passphraseFile: given } = flags;
        const request = { path: at(path), format, targetFormat, secret: secretOf(given) };
        const answer = await ask<MeasureImageResponse>((done) => images.measureImage(request, done));
        const text = listing([
          ['required', exactBytes(answer.requiredBytes)],
          ['fully allocated', exactBytes(answer.fullyAllocatedBytes)],
          ['data', exactBytes(answer.dataBytes)],
        ]);
        context.print(MeasureImageResponse, answer, text);
      }),
    );
}

async function* extentsOf(stream: ClientReadableStream<MapImageResponse>): AsyncGenerator<Extent> {
  for await (const { extents } of events(stream)) yield* extents;
}

function showExtent(extent: Extent): string {
  const { offsetBytes, lengthBytes, depth, fileOffsetBytes } = extent;
  const place = fileOffsetBytes === undefined ? '' : ` at ${String(fileOffsetBytes)}`;
  return `${String(offsetBytes).padStart(16)} ${String(lengthBytes).padStart(16)} ${kindOf(extent)} layer ${String(depth)}${place}`;
}
