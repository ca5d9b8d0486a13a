import { Command, Option } from 'commander';
import { CompressionType } from '../../gen/hostler/v1/image.js';
import {
  ConvertImageRequest,
  CopyEngine,
  CopyImageRequest,
  CreateImageRequest,
  CreateOverlayRequest,
  DeleteImageRequest,
  ExtractSnapshotRequest,
  RemoteSide,
} from '../../gen/hostler/v1/image_service.js';
import type { Context } from '../context.js';
import {
  PREALLOCATIONS,
  address,
  askOf,
  byteCount,
  operationOptions,
  targetOptions,
  writableOf,
  type OperationFlags,
  type TargetFlags,
} from '../options.js';
import {
  layoutOf,
  layoutOptions,
  qcow2LayoutOf,
  qcow2Options,
  type LayoutFlags,
  type Qcow2Flags,
} from '../layout-options.js';
import { encryptionOf, passphraseFile, secretOf, type PassphraseFlags } from '../passphrase.js';

type MakeFlags = OperationFlags & TargetFlags;

const COMPRESSIONS = { zlib: CompressionType.COMPRESSION_TYPE_ZLIB, zstd: CompressionType.COMPRESSION_TYPE_ZSTD };
const ENGINES = {
  auto: CopyEngine.COPY_ENGINE_AUTO,
  reflink: CopyEngine.COPY_ENGINE_REFLINK,
  sparse: CopyEngine.COPY_ENGINE_LOCAL_SPARSE,
  nbd: CopyEngine.COPY_ENGINE_NBD_TLS,
  'nbd-ssh': CopyEngine.COPY_ENGINE_NBD_SSH,
  rsync: CopyEngine.COPY_ENGINE_RSYNC_SSH,
};

const preallocation = () =>
  new Option('--preallocation <how>', 'allocate beforehand').choices(Object.keys(PREALLOCATIONS)).default('off');
const bandwidth = () =>
  new Option('--bandwidth <bytes>', 'limit of the rate in bytes a second, such as 50M').argParser(byteCount);
const allowInUse = () => new Option('--allow-in-use', 'work although a process holds the image');
const compressionType = () =>
  new Option('--compression-type <type>', 'how to compress').choices(Object.keys(COMPRESSIONS));

/** `hostler image …`: the verbs that make and remove images. */
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

function make(name: string): Command {
  return targetOptions(operationOptions(new Command(name)));
}

function createCommand(context: Context): Command {
  return layoutOptions(make('create'))
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
              path: address(path),
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
  return qcow2Options(make('overlay'))
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
              path: address(path),
              backingFile: address(base),
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

function convertCommand(context: Context): Command {
  return layoutOptions(make('convert'))
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
              source: address(source),
              target: address(target),
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

function extractCommand(context: Context): Command {
  return layoutOptions(make('extract'))
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
              path: address(disk),
              target: address(target),
              snapshot: flags.snapshot,
              secret: secretOf(flags.passphraseFile),
              ...layoutOf(flags),
              ...conversionOf(flags),
            }),
          ),
        ),
    );
}

interface ConvertFlags {
  readonly format: string;
  readonly targetFormat: string;
  readonly compress?: true;
  readonly compressionType?: keyof typeof COMPRESSIONS;
  readonly bandwidth?: bigint;
  readonly allowInUse?: true;
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

function copyCommand(context: Context): Command {
  return make('copy')
    .description('copy the bytes of an image file, holes staying holes')
    .argument('<source>')
    .argument('<target>')
    .addOption(new Option('--engine <engine>', 'how').choices(Object.keys(ENGINES)).default('auto'))
    .addOption(new Option('--from <host>', 'the source is on that host').conflicts('to'))
    .option('--to <host>', 'the target is on that host')
    .option('--agent', 'that host runs an agent; otherwise it is reached by ssh')
    .option('--port <port>', 'of the agent or ssh there', Number)
    .option('--user <user>', 'who logs in there by ssh')
    .option('--no-compression', 'do not compress on the network')
    .option('--verify', 'compare source and target afterwards')
    .option('--preserve-allocation', 'a fully allocated source gets a fully allocated target')
    .addOption(bandwidth())
    .addOption(allowInUse())
    .action(
      (
        source: string,
        target: string,
        flags: MakeFlags & {
          engine: keyof typeof ENGINES;
          verify?: true;
          preserveAllocation?: true;
          bandwidth?: bigint;
          allowInUse?: true;
        } & RemoteFlags,
      ) =>
        context.follow(flags, (client) =>
          client.images.copyImage(
            CopyImageRequest.fromPartial({
              source: address(source),
              target: address(target),
              ...remoteOf(flags),
              engine: ENGINES[flags.engine],
              verify: flags.verify ?? false,
              preserveAllocation: flags.preserveAllocation ?? false,
              bandwidthBytesPerSecond: flags.bandwidth,
              allowInUse: flags.allowInUse ?? false,
              ...writableOf(flags),
              ...askOf(flags),
            }),
          ),
        ),
    );
}

interface RemoteFlags {
  readonly from?: string;
  readonly to?: string;
  readonly agent?: true;
  readonly port?: number;
  readonly user?: string;
  readonly compression: boolean;
}

/** The far end, and which it is. */
function remoteOf({ from, to, agent, port, user, compression }: RemoteFlags) {
  const host = from ?? to;
  if (host === undefined) return {};
  return {
    remote: { host, port, user, agent: agent ?? false },
    remoteSide: from === undefined ? RemoteSide.REMOTE_SIDE_TARGET : RemoteSide.REMOTE_SIDE_SOURCE,
    compression,
  };
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
            path: address(path),
            missingOk: flags.missingOk ?? false,
            allowInUse: flags.allowInUse ?? false,
            allowDependants: flags.allowDependants ?? false,
            ...askOf(flags),
          }),
        ),
      ),
    );
}
