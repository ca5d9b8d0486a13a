import { readFileSync } from 'node:fs';
import { Command, InvalidArgumentError } from 'commander';
import {
  EvictCachedImagesRequest,
  FetchImageRequest,
  FetchRawImageRequest,
  PrefetchImageRequest,
  type ImageSource,
  CachedImage,
  type SetAsideFile,
  ListCachedImagesResponse,
  type PinCachedImageResponse,
} from '../../gen/hostler/v1/image_service.js';
import { timeText } from '../../protocol/times.js';
import { listedIn } from '../checksum-file.js';
import { ask, type Connection } from '../connection.js';
import type { Context } from '../context.js';
import { UsageError } from '../failure.js';
import { systemProblem } from '../local-file.js';
import { layoutOf, layoutOptions, type LayoutFlags } from '../layout-options.js';
import { askOf, bandwidth, byteCount, makingCommand, operationOptions, writableOf } from '../options.js';
import type { OperationFlags, TargetFlags } from '../options.js';
import { passphraseFile, secretOf, type PassphraseFlags } from '../passphrase.js';
import { bytes, table } from '../text.js';

interface SourceFlags {
  readonly checksum?: { readonly algorithm: string; readonly digest: string };
  readonly checksumUrl?: string;
  readonly checksumFile?: string;
  readonly header: Record<string, string>;
  readonly headerFile?: Record<string, string>;
  readonly maxSize?: bigint;
  readonly member?: string;
  readonly format?: string;
  readonly targetFormat?: string;
  readonly bandwidth?: bigint;
}
type FetchFlags = OperationFlags &
  TargetFlags &
  SourceFlags &
  LayoutFlags &
  PassphraseFlags & { readonly cache?: true; readonly overlay?: true };

/** `hostler image fetch` and `fetch-raw`. */
export function fetchCommands(context: Context): Command[] {
  const fetch = layoutOptions(sourceOptions(makingCommand('fetch')))
    .description('fetch an image, check it, and convert it where another format is wanted')
    .argument('<url>', 'http, https, a path of this host, or glance:IMAGE-ID')
    .argument('<target>')
    .option('-f, --format <format>', 'declared format of the source')
    .option('-O, --target-format <format>', 'format of the target; unset: as the source')
    .option('--member <name>', 'the file to take out of a tar or zip archive; * for its only disk')
    .option('--cache', "use and fill the host's cache")
    .option('--overlay', 'make an overlay on the cached image')
    .addOption(passphraseFile('opens an encrypted image, to rewrite it in --target-format'))
    .action(async (url: string, target: string, flags: FetchFlags) => {
      const source = await sourceOf(url, flags);
      return context.follow(flags, ({ images, at }) =>
        images.fetchImage(
          FetchImageRequest.fromPartial({
            ...source(at),
            target: at(target),
            targetFormat: flags.targetFormat ?? '',
            sourceFormat: flags.format ?? '',
            archiveMember: flags.member ?? '',
            useCache: (flags.cache ?? false) || (flags.overlay ?? false),
            overlay: flags.overlay ?? false,
            sourceSecret: secretOf(flags.passphraseFile),
            overwrite: flags.overwrite ?? false,
            attributes: writableOf(flags).attributes,
            ...layoutOf(flags),
            ...askOf(flags),
          }),
        ),
      );
    });
  const raw = sourceOptions(makingCommand('fetch-raw'))
    .description('fetch bytes as they are: kernels, ramdisks')
    .argument('<url>')
    .argument('<target>')
    .action(async (url: string, target: string, flags: FetchFlags) => {
      const source = await sourceOf(url, flags);
      return context.follow(flags, ({ images, at }) =>
        images.fetchRawImage(
          FetchRawImageRequest.fromPartial({
            ...source(at),
            target: at(target),
            overwrite: flags.overwrite ?? false,
            attributes: writableOf(flags).attributes,
            ...askOf(flags),
          }),
        ),
      );
    });
  return [fetch, raw];
}

/** `hostler cache …`. */
export function cacheCommands(context: Context): Command[] {
  const prefetch = sourceOptions(operationOptions(new Command('prefetch')))
    .description('download an image into the cache')
    .argument('<url>')
    .option('-f, --format <format>', 'declared format of the source')
    .option('-O, --target-format <format>', 'format to keep it in; unset: as the source')
    .option('--member <name>', 'the file to take out of a tar or zip archive; * for its only disk')
    .action(async (url: string, flags: OperationFlags & SourceFlags) => {
      const source = await sourceOf(url, flags);
      return context.follow(flags, ({ images, at }) =>
        images.prefetchImage(
          PrefetchImageRequest.fromPartial({
            ...source(at),
            targetFormat: flags.targetFormat ?? '',
            sourceFormat: flags.format ?? '',
            archiveMember: flags.member ?? '',
            ...askOf(flags),
          }),
        ),
      );
    });
  const evict = operationOptions(new Command('evict'))
    .description('remove entries; without an id by age and size')
    .argument('[id...]')
    .option('--target <bytes>', 'evict until the cache takes at most this', byteCount)
    .action((cacheIds: string[], flags: OperationFlags & { target?: bigint }) =>
      context.follow(flags, ({ images }) =>
        images.evictCachedImages(
          EvictCachedImagesRequest.fromPartial({ cacheIds, targetBytes: flags.target, ...askOf(flags) }),
        ),
      ),
    );
  return [listCommand(context), prefetch, pinCommand(context), evict];
}

function listCommand(context: Context): Command {
  return new Command('ls')
    .description('what the cache holds, least recently used first')
    .option('--pool <pool>', 'the bases in a pool instead', '')
    .option(
      '--unknown',
      'files that no fetch uses and that are not removed by themselves; `cache evict ID` removes them',
    )
    .action(({ pool, unknown }: { pool: string; unknown?: true }) =>
      context.use(async ({ images }) => {
        if (unknown === true) {
          await listSetAside(context, images);
          return;
        }
        const found: CachedImage[] = [];
        const setAside: SetAsideFile[] = [];
        for (let pageToken = ''; ;) {
          const page = await ask<ListCachedImagesResponse>((done) =>
            images.listCachedImages({ pageSize: 1000, pageToken, pool }, done),
          );
          found.push(...page.images);
          setAside.push(...page.setAside);
          pageToken = page.nextPageToken;
          if (pageToken === '') break;
        }
        const rows = found.map(({ cacheId, info, pinned, inUse, source }) => [
          cacheId,
          info?.format ?? '',
          bytes(info?.allocatedBytes ?? 0n),
          [pinned ? 'pinned' : '', inUse ? 'in use' : ''].filter((word) => word !== '').join(', '),
          source,
        ]);
        const whole = { images: found, setAside, nextPageToken: '' };
        context.print(ListCachedImagesResponse, whole, table(['ID', 'FORMAT', 'ON DISK', 'KEPT', 'SOURCE'], rows));
      }),
    );
}

async function listSetAside(context: Context, images: Connection['images']): Promise<void> {
  const request = { pageSize: 1, pageToken: '', pool: '' };
  const { setAside } = await ask<ListCachedImagesResponse>((done) => images.listCachedImages(request, done));
  const rows = setAside.map(({ cacheId, why, allocatedBytes, modifyTime }) => [
    cacheId,
    why,
    bytes(allocatedBytes),
    timeText(modifyTime),
  ]);
  const only = { images: [], setAside, nextPageToken: '' };
  context.print(ListCachedImagesResponse, only, table(['ID', 'WHY', 'ON DISK', 'CHANGED'], rows));
}

function pinCommand(context: Context): Command {
  return new Command('pin')
    .description('keep an entry from being evicted')
    .argument('<id>')
    .option('--off', 'unpin it')
    .action((cacheId: string, flags: { off?: true }) =>
      context.use(async ({ images }) => {
        const request = { cacheId, pinned: flags.off !== true, requestId: '' };
        const { image } = await ask<PinCachedImageResponse>((done) => images.pinCachedImage(request, done));
        if (image !== undefined)
          context.print(CachedImage, image, `${cacheId} ${image.pinned ? 'pinned' : 'not pinned'}`);
      }),
    );
}

function sourceOptions(command: Command): Command {
  return command
    .option('--checksum <algorithm:digest>', 'expected checksum, such as sha256:…', checksumOf)
    .option('--checksum-url <url>', 'a list with the checksum, such as SHA256SUMS')
    .option('--checksum-file <file>', 'such a list in a file of the host of this command')
    .option('--header <name: value>', 'sent to the server; may be given more than once', header, {})
    .option(
      '--header-file <file>',
      'a file with such lines, for secrets that must not show in the process list',
      headerFile,
    )
    .option('--max-size <bytes>', 'limit of the size, such as 20G', byteCount)
    .addOption(bandwidth());
}

async function sourceOf(
  url: string,
  {
    checksum: sum,
    checksumUrl = '',
    checksumFile,
    header: given,
    headerFile: read,
    maxSize,
    bandwidth: rate,
  }: SourceFlags,
) {
  if (checksumFile !== undefined && (sum !== undefined || checksumUrl !== ''))
    throw new UsageError('give --checksum-file, --checksum-url or --checksum');
  const checksum = checksumFile === undefined ? sum : await listedIn(checksumFile, url);
  const headers = { ...given, ...read };
  const [, imageId] = /^glance:(.+)$/.exec(url) ?? [];
  const source = (at: Connection['at']): ImageSource['source'] =>
    imageId !== undefined
      ? { $case: 'glance', value: { endpoint: '', imageId, token: process.env['OS_TOKEN'] ?? '' } }
      : /^[a-z]+:\/\//.test(url)
        ? { $case: 'http', value: { url, headers, checksumUrl } }
        : { $case: 'file', value: { path: at(url) } };
  return (at: Connection['at']) => ({
    source: { source: source(at) },
    checksum,
    maxSizeBytes: maxSize,
    bandwidthBytesPerSecond: rate,
  });
}

function checksumOf(text: string): { algorithm: string; digest: string } {
  const [, algorithm, digest] = /^([a-z0-9-]+):([0-9a-fA-F]+)$/.exec(text) ?? [];
  if (algorithm === undefined || digest === undefined) throw new InvalidArgumentError('must be ALGORITHM:DIGEST');
  return { algorithm, digest };
}

function header(text: string, headers: Record<string, string>): Record<string, string> {
  const [, name, value] = /^([^:\s]+):(.*)$/.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new InvalidArgumentError('must be NAME: VALUE');
  return { ...headers, [name]: value.trimStart() };
}

function headerFile(path: string): Record<string, string> {
  try {
    const lines = readFileSync(path, 'utf8').split(/\r?\n/);
    return lines.filter((line) => line !== '').reduce<Record<string, string>>((all, line) => header(line, all), {});
  } catch (error) {
    throw new InvalidArgumentError(
      error instanceof InvalidArgumentError
        ? `each line ${error.message}`
        : (systemProblem(error, path) ?? String(error)),
    );
  }
}
