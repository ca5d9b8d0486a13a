import { readFile } from 'node:fs/promises';
import { buffer as readBytes, text as readText } from 'node:stream/consumers';
import { Command, InvalidArgumentError } from 'commander';
import { ExecuteResponse } from '../gen/hostler/v1/command_service.js';
import { FindRootDiskResponse } from '../gen/hostler/v1/image_service.js';
import { ask } from './connection.js';
import type { Duration } from '../gen/google/protobuf/duration.js';
import type { Context } from './context.js';
import { events } from './follow.js';
import { seconds } from './options.js';
import { printable } from './text.js';

/** `hostler disk …`: disks of domains. */
export function diskCommands(context: Context): Command[] {
  return [
    new Command('find-root')
      .description('the root disk of a libvirt domain')
      .argument('[domain]', 'its name; libvirt is asked')
      .option('--xml <file>', "the domain's XML instead; - for standard input")
      .action((name: string | undefined, { xml }: { xml?: string }) =>
        context.use(async ({ images }) => {
          if ((name === undefined) === (xml === undefined)) throw new InvalidArgumentError('give a domain or --xml');
          const domain =
            xml === undefined
              ? ({ $case: 'domainName', value: name ?? '' } as const)
              : ({
                  $case: 'domainXml',
                  value: await (xml === '-' ? readText(process.stdin) : readFile(xml, 'utf8')),
                } as const);
          const answer = await ask<FindRootDiskResponse>((done) => images.findRootDisk({ domain }, done));
          const format = answer.format === undefined ? '' : `  ${printable(answer.format)}`;
          context.print(FindRootDiskResponse.toJSON(answer), `${printable(answer.path)}${format}`);
        }),
      ),
  ];
}

interface ExecFlags {
  readonly stdin?: true;
  readonly timeout?: Duration;
  readonly attempts?: number;
  readonly delay?: Duration;
  readonly requestId: string;
}

/** `hostler exec`: a command that the operator has named. Its exit code becomes ours. */
export function execCommand(context: Context): Command {
  return new Command('exec')
    .description('run a command that the configuration names')
    .argument('<name>')
    .argument('[args...]', 'after --')
    .option('--stdin', 'give it standard input')
    .option('--timeout <seconds>', 'at most the configured one', seconds)
    .option('--attempts <number>', 'in all, while its exit code is not accepted', Number)
    .option('--delay <seconds>', 'between attempts', seconds)
    .option('--request-id <id>', 'idempotency key', '')
    .action((name: string, args: string[], { stdin: given, timeout, attempts, delay, requestId }: ExecFlags) =>
      context.use(async ({ commands }) => {
        const stdin = given === true ? await readBytes(process.stdin) : Buffer.alloc(0);
        const request = { name, args, stdin, attempts, requestId, timeout, delay };
        for await (const message of events(commands.execute(request))) show(message, context);
      }),
    );
}

function show(message: ExecuteResponse, context: Context): void {
  const { output } = message;
  if (context.json) context.print(ExecuteResponse.toJSON(message), '');
  else if (output?.$case === 'stdout') process.stdout.write(output.value);
  else if (output?.$case === 'stderr') process.stderr.write(output.value);
  if (output?.$case === 'exitCode') process.exitCode = output.value;
}
