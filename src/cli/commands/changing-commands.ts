import { Command, Option } from 'commander';
import { timeText } from '../../protocol/times.js';
import { PREALLOCATIONS, askOf, operationOptions, type OperationFlags } from '../options.js';
import { passphraseFile, secretOf, type PassphraseFlags } from '../passphrase.js';
import {
  CheckImageRequest,
  CommitImageRequest,
  CompareImagesRequest,
  CreateSnapshotRequest,
  DeleteSnapshotRequest,
  ListSnapshotsResponse,
  RebaseImageRequest,
  RepairMode,
  ResizeImageRequest,
  RevertSnapshotRequest,
  WipeImageRequest,
  WipeMode,
} from '../../gen/hostler/v1/image_service.js';
import { ask } from '../connection.js';
import type { Context } from '../context.js';
import { exactBytes, table } from '../text.js';

const REPAIRS = {
  none: RepairMode.REPAIR_MODE_NONE,
  leaks: RepairMode.REPAIR_MODE_LEAKS,
  all: RepairMode.REPAIR_MODE_ALL,
};
const MODES = { zero: WipeMode.WIPE_MODE_ZERO, discard: WipeMode.WIPE_MODE_DISCARD };

interface ChangeFlags extends OperationFlags, PassphraseFlags {
  readonly format: string;
  readonly safeCopy?: true;
  readonly allowDependants?: true;
}

interface CompareFlags extends ChangeFlags {
  readonly secondFormat: string;
  readonly secondPassphraseFile?: Buffer;
  readonly strict?: true;
}

/** `hostler image …`: the verbs that change images in place, or examine whole images. */
export function changingCommands(context: Context): Command[] {
  return [
    resize(context),
    rebase(context),
    commit(context),
    check(context),
    compare(context),
    wipe(context),
    snapshot(context),
  ];
}

const format = () => new Option('-f, --format <format>', 'format of the image').makeOptionMandatory();
const safeCopy = () => new Option('--safe-copy', 'change a reflink, which gets the name when the change is complete');
const allowDependants = () => new Option('--allow-dependants', 'change it although other images are backed by it');

function change(name: string): Command {
  return operationOptions(new Command(name)).argument('<path>').addOption(format()).addOption(passphraseFile());
}

/** Fields of every request. */
function common(path: string, flags: ChangeFlags) {
  return { path, format: flags.format, secret: secretOf(flags.passphraseFile), ...askOf(flags) };
}

/** Fields of some requests. */
const copying = ({ safeCopy: given }: ChangeFlags) => ({ safeCopy: given ?? false });
const careless = ({ allowDependants: given }: ChangeFlags) => ({ allowDependants: given ?? false });

function resize(context: Context): Command {
  return change('resize')
    .description('change the virtual size')
    .argument('<size>', 'such as 20G')
    .option('--shrink', 'permit a smaller size: the data beyond it is lost')
    .addOption(
      new Option('--preallocation <how>', 'how the added space is allocated')
        .choices(Object.keys(PREALLOCATIONS))
        .default('off'),
    )
    .addOption(safeCopy())
    .addOption(allowDependants())
    .action(
      (
        path: string,
        size: string,
        flags: ChangeFlags & { shrink?: true; preallocation: keyof typeof PREALLOCATIONS },
      ) =>
        context.follow(flags, ({ images, at }) =>
          images.resizeImage(
            ResizeImageRequest.fromPartial({
              ...common(at(path), flags),
              ...copying(flags),
              ...careless(flags),
              virtualSize: { $case: 'size', value: size },
              allowShrink: flags.shrink ?? false,
              preallocation: PREALLOCATIONS[flags.preallocation],
            }),
          ),
        ),
    );
}

function rebase(context: Context): Command {
  return change('rebase')
    .description('give an overlay another base; without one, flatten it')
    .argument('[base]')
    .option('-F, --backing-format <format>', 'format of the base')
    .option('-u, --header-only', 'only change the name in the header')
    .addOption(safeCopy())
    .action(
      (path: string, base: string | undefined, flags: ChangeFlags & { backingFormat?: string; headerOnly?: true }) =>
        context.follow(flags, ({ images, at }) =>
          images.rebaseImage(
            RebaseImageRequest.fromPartial({
              ...common(at(path), flags),
              ...copying(flags),
              backingFile: base === undefined ? '' : at(base),
              backingFormat: flags.backingFormat ?? '',
              headerOnly: flags.headerOnly ?? false,
            }),
          ),
        ),
    );
}

function commit(context: Context): Command {
  return change('commit')
    .description("write an overlay's content into its base")
    .option('--base <path>', 'commit into this lower layer')
    .addOption(safeCopy())
    .addOption(allowDependants())
    .action((path: string, flags: ChangeFlags & { base?: string }) =>
      context.follow(flags, ({ images, at }) =>
        images.commitImage(
          CommitImageRequest.fromPartial({
            ...common(at(path), flags),
            ...copying(flags),
            ...careless(flags),
            ...(flags.base === undefined ? {} : { base: at(flags.base) }),
          }),
        ),
      ),
    );
}

function check(context: Context): Command {
  return change('check')
    .description("check an image's tables")
    .addOption(new Option('--repair <what>', 'repair them').choices(Object.keys(REPAIRS)).default('none'))
    .action((path: string, flags: ChangeFlags & { repair: keyof typeof REPAIRS }) =>
      context.follow(flags, ({ images, at }) =>
        images.checkImage(CheckImageRequest.fromPartial({ ...common(at(path), flags), repair: REPAIRS[flags.repair] })),
      ),
    );
}

function compare(context: Context): Command {
  return operationOptions(new Command('compare'))
    .description('whether two images have the same content')
    .argument('<first>')
    .argument('<second>')
    .requiredOption('-f, --format <format>', 'format of the first')
    .requiredOption('-F, --second-format <format>', 'format of the second')
    .option('--strict', 'sizes and allocation must be equal too')
    .addOption(passphraseFile('opens the encrypted first image, and encrypted layers below it'))
    .addOption(passphraseFile('opens the encrypted second image, and encrypted layers below it', 'second-'))
    .action((first: string, second: string, flags: CompareFlags) =>
      context.follow(flags, ({ images, at }) =>
        images.compareImages(
          CompareImagesRequest.fromPartial({
            first: at(first),
            firstFormat: flags.format,
            second: at(second),
            secondFormat: flags.secondFormat,
            firstSecret: secretOf(flags.passphraseFile),
            secondSecret: secretOf(flags.secondPassphraseFile),
            strict: flags.strict ?? false,
            ...askOf(flags),
          }),
        ),
      ),
    );
}

function wipe(context: Context): Command {
  return operationOptions(new Command('wipe'))
    .description('overwrite all bytes of an image with zeros, or give its blocks back')
    .argument('<path>')
    .addOption(new Option('--mode <mode>', 'how').choices(Object.keys(MODES)).makeOptionMandatory())
    .addOption(allowDependants())
    .action((path: string, flags: OperationFlags & { mode: keyof typeof MODES; allowDependants?: true }) =>
      context.follow(flags, ({ images, at }) =>
        images.wipeImage(
          WipeImageRequest.fromPartial({
            path: at(path),
            mode: MODES[flags.mode],
            allowDependants: flags.allowDependants ?? false,
            ...askOf(flags),
          }),
        ),
      ),
    );
}

function snapshot(context: Context): Command {
  const group = new Command('snapshot').description('snapshots inside an image');
  const verb = (name: string, description: string) => change(name).description(description).argument('<snapshot>');
  group.addCommand(
    verb('create', 'make one').action((path: string, name: string, flags: ChangeFlags) =>
      context.follow(flags, ({ images, at }) =>
        images.createSnapshot(CreateSnapshotRequest.fromPartial({ ...common(at(path), flags), snapshot: name })),
      ),
    ),
  );
  group.addCommand(
    verb('rm', 'remove one').action((path: string, name: string, flags: ChangeFlags) =>
      context.follow(flags, ({ images, at }) =>
        images.deleteSnapshot(DeleteSnapshotRequest.fromPartial({ ...common(at(path), flags), snapshot: name })),
      ),
    ),
  );
  group.addCommand(
    verb('revert', 'restore the content of a snapshot')
      .addOption(allowDependants())
      .action((path: string, name: string, flags: ChangeFlags) =>
        context.follow(flags, ({ images, at }) =>
          images.revertSnapshot(
            RevertSnapshotRequest.fromPartial({ ...common(at(path), flags), ...careless(flags), snapshot: name }),
          ),
        ),
      ),
  );
  group.addCommand(
    new Command('ls')
      .description('list them')
      .argument('<path>')
      .addOption(format())
      .action((path: string, flags: ChangeFlags) =>
        context.use(async ({ images, at }) => {
          const answer = await ask<ListSnapshotsResponse>((done) =>
            images.listSnapshots({ path: at(path), format: flags.format }, done),
          );
          const rows = answer.snapshots.map(({ id, name, createTime, vmStateBytes }) => [
            id,
            name,
            timeText(createTime),
            exactBytes(vmStateBytes),
          ]);
          context.print(ListSnapshotsResponse, answer, table(['ID', 'NAME', 'MADE', 'VM STATE'], rows));
        }),
      ),
  );
  return group;
}
