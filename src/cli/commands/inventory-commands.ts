import { posix } from 'node:path';
import { Command, Option } from 'commander';
import { ListImagesRequest, ListImagesResponse, WatchImagesResponse } from '../../gen/hostler/v1/image_service.js';
import { ImageChangeKind, type InventoryFilter, type InventoryImage } from '../../gen/hostler/v1/inventory.js';
import { ask, type Connection } from '../connection.js';
import type { Context } from '../context.js';
import { drawTree, sumsOf } from '../draw-inventory.js';
import { events } from '../follow.js';
import { collectLabel, collectText } from '../options.js';
import { bytes, printable, table } from '../text.js';

const PAGE = 1000;

/** `hostler ls`, `hostler tree`, `hostler du`: the images in a root. */
export function inventoryCommands(context: Context): Command[] {
  return [lsCommand(context), treeCommand(context), duCommand(context)];
}

interface ListFlags {
  readonly flat?: true;
  readonly format: string[];
  readonly dependants?: boolean;
  readonly backedBy?: string;
  readonly inUse?: true;
  readonly unused?: true;
  readonly orphaned?: true;
  readonly operation?: string;
  readonly label: Record<string, string>;
}

/** @param hasDependants as given; unset: not given */
function filterOf(flags: ListFlags, hasDependants: boolean | undefined, at: Connection['at']): InventoryFilter {
  return {
    formats: flags.format,
    hasDependants,
    unwrittenSince: undefined,
    backedBy: flags.backedBy === undefined ? '' : at(flags.backedBy),
    inUse: flags.inUse ?? (flags.unused === true ? false : undefined),
    orphaned: flags.orphaned,
    operationId: flags.operation ?? '',
    labels: flags.label,
  };
}

function lsCommand(context: Context): Command {
  return new Command('ls')
    .description('images in a root, a folder or a pool')
    .argument('<path>')
    .option('--flat', 'only what lies in the folder itself')
    .option('-f, --format <format>', 'only images of this format; may be repeated', collectText, [])
    .option('--dependants', 'only images that others are backed by')
    .option('--no-dependants', 'only images that none is backed by')
    .option('--backed-by <base>', 'only images that are backed by this one itself')
    .addOption(new Option('--in-use', 'only images that a process holds').conflicts('unused'))
    .option('--unused', 'only images that no process holds')
    .option('--orphaned', 'only images that nothing needs: no base, not held, of no instance')
    .option('--operation <id>', 'only the image that this operation made')
    .option('--label <key=value>', 'only images whose operation has this label; may be repeated', collectLabel, {})
    .option('--watch', 'then show each change, until interrupted')
    .action((path: string, flags: ListFlags & { watch?: true }, command: Command) =>
      context.use(async (connection) => {
        const given = command.getOptionValueSource('dependants') === 'cli' ? flags.dependants : undefined;
        const request = {
          path: connection.at(path),
          flat: flags.flat ?? false,
          filter: filterOf(flags, given, connection.at),
        };
        const { images, generation, unseen } = await all(connection, request);
        const whole = { images, generation, unseen, nextPageToken: '' };
        context.print(ListImagesResponse, whole, table(HEADER, images.map(rowOf)));
        for (const { path: place, why } of unseen)
          process.stderr.write(`hostler: ${printable(place)} cannot be looked at: ${why}\n`);
        if (flags.watch === true) await watch(context, connection, { ...request, generation });
      }),
    );
}

const HEADER = ['FORMAT', 'SIZE', 'ON DISK', 'DEPENDANTS', 'HELD BY', 'PATH'];

function rowOf({ format, virtualSizeBytes, allocatedBytes, dependants, ...rest }: InventoryImage): string[] {
  const { malformed, inUse, holderPid, path } = rest;
  const size = malformed === undefined ? bytes(virtualSizeBytes) : 'malformed';
  const holder = inUse ? String(holderPid ?? 'unknown') : '';
  return [format, size, bytes(allocatedBytes), String(dependants), holder, path];
}

const SIGNS: Readonly<Record<number, string>> = {
  [ImageChangeKind.IMAGE_CHANGE_KIND_CREATED]: '+',
  [ImageChangeKind.IMAGE_CHANGE_KIND_CHANGED]: '~',
  [ImageChangeKind.IMAGE_CHANGE_KIND_REMOVED]: '-',
};

async function watch(
  context: Context,
  { images }: Connection,
  { path, flat, generation }: { path: string; flat: boolean; generation: string },
): Promise<void> {
  for await (const message of events(images.watchImages({ path, flat, generation }))) {
    if (message.changes.length === 0) continue;
    const lines = message.changes.map(({ kind, path: changed, image }) => {
      const what = image === undefined ? '' : `  ${image.format} ${bytes(image.virtualSizeBytes)}`;
      return `${SIGNS[kind] ?? '?'} ${printable(changed)}${what}`;
    });
    context.print(WatchImagesResponse, message, lines.join('\n'));
  }
}

function treeCommand(context: Context): Command {
  return new Command('tree')
    .description('which images are backed by which')
    .argument('<path>')
    .action((path: string) =>
      context.use(async (connection) => {
        const { images } = await all(connection, { path: connection.at(path) });
        const named = images.map(({ path: own, backingFile, format, allocatedBytes }) => ({
          path: own,
          base: backingFile === undefined ? undefined : baseOf(own, backingFile),
          text: `${printable(own)}  ${format}, ${bytes(allocatedBytes)}`,
        }));
        const json = { images: named.map(({ path: own, base }) => ({ path: own, base: base ?? '' })) };
        context.printObject(json, drawTree(named));
      }),
    );
}

/** The image that a header names; for a clone in a pool the image whose snapshot it is of. */
function baseOf(own: string, backingFile: string): string {
  if (backingFile.startsWith('rbd:')) return backingFile.replace(/@[^@]*$/, '');
  return posix.resolve(posix.dirname(own), backingFile);
}

function duCommand(context: Context): Command {
  return new Command('du')
    .description('who takes the space: the images of each folder, the largest first')
    .argument('<path>')
    .action((path: string) =>
      context.use(async (connection) => {
        const place = connection.at(path);
        const { images } = await all(connection, { path: place });
        const sums = sumsOf(place, images);
        const rows = sums.map(({ folder, count, allocated }) => [bytes(allocated), String(count), folder]);
        const folders = sums.map(({ folder, count: images, allocated }) => ({
          folder,
          images,
          allocatedBytes: String(allocated),
        }));
        context.printObject({ folders }, table(['ON DISK', 'IMAGES', 'FOLDER'], rows));
      }),
    );
}

/** The fields that are the same for each page. */
interface Wanted {
  readonly path: string;
  readonly flat?: boolean;
  readonly filter?: InventoryFilter;
}

/** Every page of a list. */
async function all({ images }: Connection, request: Wanted) {
  const found: InventoryImage[] = [];
  for (let pageToken = ''; ;) {
    const full = ListImagesRequest.create({ ...request, pageSize: PAGE, pageToken });
    const page = await ask<ListImagesResponse>((done) => images.listImages(full, done));
    found.push(...page.images);
    pageToken = page.nextPageToken;
    if (pageToken === '') return { images: found, generation: page.generation, unseen: page.unseen };
  }
}
