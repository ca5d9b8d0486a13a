import { buffer as readBytes } from 'node:stream/consumers';
import { Command } from 'commander';
import type { Duration } from '../../gen/google/protobuf/duration.js';
import { ExecuteResponse } from '../../gen/hostler/v1/command_service.js';
import type { Context } from '../context.js';
import { events } from '../follow.js';
import { seconds, wholeNumber } from '../options.js';

interface ExecFlags {
  readonly stdin?: true;
  readonly timeout?: Duration;
  readonly attempts?: number;
  readonly delay?: Duration;
  readonly requestId: string;
}

/**
 * `hostler exec`: a command that the operator has configured. An accepted exit code becomes the
 * command's own; any other is a failure.
 */
export function execCommand(context: Context): Command {
  return new Command('exec')
    .description('run a command that the configuration names')
    .argument('<name>')
    .argument('[args...]', 'after --')
    .option('--stdin', 'pass standard input to the command')
    .option('--timeout <seconds>', 'at most the configured one', seconds)
    .option('--attempts <number>', 'attempts until its exit code is accepted', wholeNumber)
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
  if (context.json) context.print(ExecuteResponse, message, '');
  else if (output?.$case === 'stdout') process.stdout.write(output.value);
  else if (output?.$case === 'stderr') process.stderr.write(output.value);
  if (output?.$case === 'exitCode') process.exitCode = output.value;
}
