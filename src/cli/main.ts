/** The `hostler` command: an ordinary client. */
import { CommanderError } from 'commander';
import { ConnectionTimeout } from './connection.js';
import { UsageError, connectionStatus, exitCode, explain, failureOf, isServiceError } from './failure.js';
import { ownStatus, statusOf } from './failure.js';
import { EXIT, failureCode } from './help/exit-codes.js';
import { nameOfField, namesInText } from './help/field-names.js';
import { systemProblem } from './local-file.js';
import { createProgram, nameOfCommand } from './program.js';
import type { Status } from '../gen/google/rpc/status.js';

/** Errors that need no stack: the problem is in files that the user named. */
const ABOUT_FILES = [
  'ConfigError',
  'OwnFileError',
  'LocalFileError',
  'TlsFilesBroken',
  'CertificateProblem',
  'ContextsBroken',
  'JournalToolError',
];

// An empty variable counts as unset.
for (const name of Object.keys(process.env))
  if (name.startsWith('HOSTLER_') && process.env[name] === '') Reflect.deleteProperty(process.env, name);

const commands = createProgram();
const { program, context } = commands;

for (const stream of [process.stdout, process.stderr])
  // The reader of the output is gone, as with `head`, or the disk is full: nothing can be shown any
  // more.
  stream.on('error', () => process.exit(EXIT.other));

// Cleanup runs when the process exits. A command that cancels its operation has its own listener.
for (const [signal, code] of [
  ['SIGINT', EXIT.cancelled],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const)
  process.on(signal, () => {
    if (process.listenerCount(signal) === 1) process.exit(code);
  });

void run();

async function run(): Promise<void> {
  try {
    await program.parseAsync();
  } catch (error) {
    process.exitCode = await report(error);
    // The library keeps the silent connection open.
    if (error instanceof ConnectionTimeout) process.stdout.write('', () => process.exit());
  }
}

/** A local problem: a file that cannot be read or written, a configuration that cannot be used. */
function localProblem(error: unknown): string | undefined {
  if (error instanceof Error && ABOUT_FILES.includes(error.name)) return error.message;
  return systemProblem(error);
}

/** Prints the failure and returns the exit code. */
async function report(error: unknown): Promise<number> {
  if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok;
  const used = commands.command();
  const found = describe(error);
  if (isJsonAsked()) (await context.printer()).error(found);
  // commander has already printed its message.
  if (error instanceof CommanderError) return failureCode(nameOfCommand(used), EXIT.usage);
  const failure = failureOf(found);
  if (failure.reason === 'BUG') throw error;
  const names =
    used === undefined
      ? undefined
      : { field: (name: string) => nameOfField(name, used), text: (text: string) => namesInText(text, used) };
  process.stderr.write(`${explain(failure, names)}\n`);
  return failureCode(nameOfCommand(used), exitCode(failure));
}

function describe(error: unknown): Status {
  if (error instanceof CommanderError) return ownStatus('USAGE', error.message.replace(/^error: /, ''));
  if (error instanceof UsageError) return ownStatus('USAGE', error.message);
  const problem = localProblem(error);
  if (problem !== undefined) return ownStatus('LOCAL_FILE', problem);
  const { address } = context;
  if (error instanceof ConnectionTimeout) return connectionStatus(error.failure, address, error.message);
  return isServiceError(error) ? statusOf(error, address) : ownStatus('BUG', String(error));
}

/** Works also if the arguments could not be parsed. */
function isJsonAsked(): boolean {
  const words = process.argv.slice(2);
  const end = words.indexOf('--');
  return context.json || words.slice(0, end < 0 ? undefined : end).includes('--json');
}
