import { Option, type Command } from 'commander';
import { CopyEngine, CopyImageRequest, RemoteSide } from '../../gen/hostler/v1/image_service.js';
import type { Context } from '../context.js';
import { allowInUse, askOf, bandwidth, makingCommand, wholeNumber, writableOf, type MakeFlags } from '../options.js';

const ENGINES = {
  auto: CopyEngine.COPY_ENGINE_AUTO,
  reflink: CopyEngine.COPY_ENGINE_REFLINK,
  sparse: CopyEngine.COPY_ENGINE_LOCAL_SPARSE,
  nbd: CopyEngine.COPY_ENGINE_NBD_TLS,
  'nbd-ssh': CopyEngine.COPY_ENGINE_NBD_SSH,
  rsync: CopyEngine.COPY_ENGINE_RSYNC_SSH,
};

interface RemoteFlags {
  readonly from?: string;
  readonly to?: string;
  readonly agent?: true;
  readonly port?: number;
  readonly user?: string;
  readonly compression: boolean;
}

/** `hostler image copy`, on this host or to and from another host. */
export function copyCommand(context: Context): Command {
  return makingCommand('copy')
    .description('copy the bytes of an image file, holes staying holes')
    .argument('<source>')
    .argument('<target>')
    .addOption(new Option('--engine <engine>', 'how').choices(Object.keys(ENGINES)).default('auto'))
    .addOption(new Option('--from <host>', 'the source is on that host').conflicts('to'))
    .option('--to <host>', 'the target is on that host')
    .option('--agent', 'that host runs an agent; otherwise it is reached by ssh')
    .option('--port <port>', 'of the agent or ssh there', wholeNumber)
    .option('--user <user>', 'user for ssh on that host')
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
              source: client.at(source),
              target: client.at(target),
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

/** The other host, and which end it is. */
function remoteOf({ from, to, agent, port, user, compression }: RemoteFlags) {
  const host = from ?? to;
  if (host === undefined) return {};
  return {
    remote: { host, port, user, agent: agent ?? false },
    remoteSide: from === undefined ? RemoteSide.REMOTE_SIDE_TARGET : RemoteSide.REMOTE_SIDE_SOURCE,
    compression,
  };
}
