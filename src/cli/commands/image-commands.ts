import { Command } from 'commander';
import { CreateImageRequest, CreateOverlayRequest, DeleteImageRequest } from '../../gen/hostler/v1/image_service.js';
import type { Context } from '../context.js';
import {
  PREALLOCATIONS,
  allowInUse,
  askOf,
  makingCommand,
  operationOptions,
  preallocation,
  writableOf,
  type MakeFlags,
  type OperationFlags,
} from '../options.js';
import {
  layoutOf,
  layoutOptions,
  qcow2LayoutOf,
  qcow2Options,
  type LayoutFlags,
  type Qcow2Flags,
} from '../layout-options.js';
import { encryptionOf, passphraseFile, type PassphraseFlags } from '../passphrase.js';
import { convertCommand, extractCommand } from './convert-commands.js';
import { copyCommand } from './copy-command.js';

/** `hostler image …`: the verbs that create and remove images. */
export function makingCommands(context: Context): Command[] {
  return [
    createCommand(context),
    overlayCommand(context),
    convertCommand(context),
    extractCommand(context),
    copyCommand(context),
    removeCommand(context),
  ];
}

function createCommand(context: Context): Command {
  return layoutOptions(makingCommand('create'))
    .description('make an empty image')
    .argument('<path>')
    .argument('<size>', 'such as 10G')
    .requiredOption('-f, --format <format>', 'format of the image')
    .addOption(preallocation())
    .addOption(passphraseFile('encrypts the image (luks, qcow2)'))
    .action(
      (
        path: string,
        size: string,
        flags: MakeFlags &
          LayoutFlags &
          PassphraseFlags & { format: string; preallocation: keyof typeof PREALLOCATIONS },
      ) =>
        context.follow(flags, (client) =>
          client.images.createImage(
            CreateImageRequest.fromPartial({
              path: client.at(path),
              format: flags.format,
              virtualSize: { $case: 'size', value: size },
              preallocation: PREALLOCATIONS[flags.preallocation],
              encryption: encryptionOf(flags.passphraseFile),
              ...layoutOf(flags),
              ...writableOf(flags),
              ...askOf(flags),
            }),
          ),
        ),
    );
}

function overlayCommand(context: Context): Command {
  return qcow2Options(makingCommand('overlay'))
    .description('make a qcow2 overlay on a base')
    .argument('<path>')
    .argument('<base>')
    .requiredOption('-F, --backing-format <format>', 'format of the base')
    .option('--size <size>', "virtual size; the base's unless given")
    .addOption(allowInUse())
    .option('--allow-chain', 'the base may have a base itself')
    .action(
      (
        path: string,
        base: string,
        flags: MakeFlags &
          Qcow2Flags & {
            backingFormat: string;
            size?: string;
            allowChain?: true;
            allowInUse?: true;
          },
      ) =>
        context.follow(flags, (client) =>
          client.images.createOverlay(
            CreateOverlayRequest.fromPartial({
              path: client.at(path),
              backingFile: client.at(base),
              backingFormat: flags.backingFormat,
              virtualSize: flags.size === undefined ? undefined : { $case: 'size', value: flags.size },
              allowChain: flags.allowChain ?? false,
              allowInUse: flags.allowInUse ?? false,
              ...qcow2LayoutOf(flags),
              ...writableOf(flags),
              ...askOf(flags),
            }),
          ),
        ),
    );
}

function removeCommand(context: Context): Command {
  return operationOptions(new Command('rm'))
    .description('remove an image')
    .argument('<path>')
    .option('--missing-ok', 'a missing image is no error')
    .addOption(allowInUse())
    .option('--allow-dependants', 'remove it although other images are backed by it')
    .action((path: string, flags: OperationFlags & { missingOk?: true; allowInUse?: true; allowDependants?: true }) =>
      context.follow(flags, (client) =>
        client.images.deleteImage(
          DeleteImageRequest.fromPartial({
            path: client.at(path),
            missingOk: flags.missingOk ?? false,
            allowInUse: flags.allowInUse ?? false,
            allowDependants: flags.allowDependants ?? false,
            ...askOf(flags),
          }),
        ),
      ),
    );
}
