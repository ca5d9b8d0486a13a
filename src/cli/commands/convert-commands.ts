import { Option, type Command } from 'commander';
import { CompressionType } from '../../gen/hostler/v1/image.js';
import { ConvertImageRequest, ExtractSnapshotRequest } from '../../gen/hostler/v1/image_service.js';
import type { Context } from '../context.js';
import {
  PREALLOCATIONS,
  allowInUse,
  askOf,
  bandwidth,
  makingCommand,
  preallocation,
  writableOf,
  type MakeFlags,
} from '../options.js';
import { layoutOf, layoutOptions, type LayoutFlags } from '../layout-options.js';
import { encryptionOf, passphraseFile, secretOf, type PassphraseFlags } from '../passphrase.js';

const COMPRESSIONS = { zlib: CompressionType.COMPRESSION_TYPE_ZLIB, zstd: CompressionType.COMPRESSION_TYPE_ZSTD };

interface ConvertFlags {
  readonly format: string;
  readonly targetFormat: string;
  readonly compress?: true;
  readonly compressionType?: keyof typeof COMPRESSIONS;
  readonly bandwidth?: bigint;
  readonly allowInUse?: true;
}

const compressionType = () =>
  new Option('--compression-type <type>', 'how to compress').choices(Object.keys(COMPRESSIONS));

/** `hostler image convert`. */
export function convertCommand(context: Context): Command {
  return layoutOptions(makingCommand('convert'))
    .description('rewrite an image in another format')
    .argument('<source>')
    .argument('<target>')
    .requiredOption('-f, --format <format>', 'format of the source')
    .requiredOption('-O, --target-format <format>', 'format of the target')
    .option('-c, --compress', 'compress the data')
    .addOption(compressionType())
    .addOption(preallocation())
    .addOption(bandwidth())
    .addOption(allowInUse())
    .addOption(passphraseFile('opens the encrypted source, and encrypted layers below it'))
    .addOption(passphraseFile('encrypts the target (luks, qcow2)', 'target-'))
    .action(
      (
        source: string,
        target: string,
        flags: MakeFlags &
          ConvertFlags &
          LayoutFlags &
          PassphraseFlags & {
            preallocation: keyof typeof PREALLOCATIONS;
            targetPassphraseFile?: Buffer;
          },
      ) =>
        context.follow(flags, (client) =>
          client.images.convertImage(
            ConvertImageRequest.fromPartial({
              source: client.at(source),
              target: client.at(target),
              preallocation: PREALLOCATIONS[flags.preallocation],
              sourceSecret: secretOf(flags.passphraseFile),
              encryption: encryptionOf(flags.targetPassphraseFile),
              ...layoutOf(flags),
              ...conversionOf(flags),
            }),
          ),
        ),
    );
}

/** `hostler image extract`. */
export function extractCommand(context: Context): Command {
  return layoutOptions(makingCommand('extract'))
    .description('write the content of a disk, or of a snapshot in it, to an image of its own')
    .argument('<disk>')
    .argument('<target>')
    .requiredOption('-f, --format <format>', 'format of the disk')
    .requiredOption('-O, --target-format <format>', 'format of the target')
    .option('-s, --snapshot <name>', 'snapshot inside the disk; unset: the current state')
    .option('-c, --compress', 'compress the data')
    .addOption(compressionType())
    .addOption(bandwidth())
    .addOption(allowInUse())
    .addOption(passphraseFile())
    .action(
      (
        disk: string,
        target: string,
        flags: MakeFlags & ConvertFlags & LayoutFlags & PassphraseFlags & { snapshot?: string },
      ) =>
        context.follow(flags, (client) =>
          client.images.extractSnapshot(
            ExtractSnapshotRequest.fromPartial({
              path: client.at(disk),
              target: client.at(target),
              snapshot: flags.snapshot,
              secret: secretOf(flags.passphraseFile),
              ...layoutOf(flags),
              ...conversionOf(flags),
            }),
          ),
        ),
    );
}

function conversionOf(flags: MakeFlags & ConvertFlags) {
  return {
    sourceFormat: flags.format,
    targetFormat: flags.targetFormat,
    compress: flags.compress ?? false,
    compressionType:
      flags.compressionType === undefined
        ? CompressionType.COMPRESSION_TYPE_UNSPECIFIED
        : COMPRESSIONS[flags.compressionType],
    bandwidthBytesPerSecond: flags.bandwidth,
    allowInUse: flags.allowInUse ?? false,
    ...writableOf(flags),
    ...askOf(flags),
  };
}
