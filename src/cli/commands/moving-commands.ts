import { Command } from 'commander';
import { DigestImageRequest } from '../../gen/hostler/v1/image_service.js';
import type { Context } from '../context.js';
import { downloadCommand, uploadCommand } from './transfer-commands.js';
import { askOf, operationOptions, type OperationFlags } from '../options.js';

/**
 * `hostler image …`: the verbs that transfer an image's bytes between hosts, and those that verify
 * a transfer.
 */
export function movingCommands(context: Context): Command[] {
  return [digestCommand(context), uploadCommand(context), downloadCommand(context)];
}

function digestCommand(context: Context): Command {
  return operationOptions(new Command('digest'))
    .description("the digest of a file's bytes, equal whatever the sparseness; holes cost nothing")
    .argument('<path>')
    .action((path: string, flags: OperationFlags) =>
      context.follow(flags, ({ images, at }) =>
        images.digestImage(DigestImageRequest.fromPartial({ path: at(path), ...askOf(flags) })),
      ),
    );
}
