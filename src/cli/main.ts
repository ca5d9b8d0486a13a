/** The `hostler` command: a client like any other. */
import { CommanderError } from 'commander';
import { ConnectionTimeout } from './connection.js';
import { UsageError, connectionStatus, exitCode, explain, failureOf, isServiceError } from './failure.js';
import { ownStatus, statusOf } from './failure.js';
import { EXIT, failureCode } from './help/exit-codes.js';
import { nameOfField, namesInText } from './help/field-names.js';
import { systemProblem } from './local-file.js';
import { createProgram, nameOfCommand } from './program.js';
import type { Status } from '../gen/google/rpc/status.js';

/** Errors that need no stack: what is wrong lies in files that the caller named. */
const ABOUT_FILES = [
  'ConfigError',
  'OwnFileError',
  'LocalFileError',
  'TlsFilesBroken',
  'CertificateProblem',
  'ContextsBroken',
  'JournalToolError',
];

// A variable that is set to nothing is not set.
for (const name of Object.keys(process.env))
  if (name.startsWith('HOSTLER_') && process.env[name] === '') Reflect.deleteProperty(process.env, name);

const commands = createProgram();
const { program, context } = commands;

for (const stream of [process.stdout, process.stderr])
  // Its reader has gone, as `head` does, or its disk is full: nothing can be shown any more.
  stream.on('error', () => process.exit(EXIT.other));

// What a command has to leave as it was, it does when the process exits. One that cancels its
// operation listens itself.
for (const [signal, code] of [
  ['SIGINT', EXIT.cancelled],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const)
  process.on(signal, () => {
    if (process.listenerCount(signal) === 1) process.exit(code);
  });

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = await report(error);
  // The library keeps the connection that says nothing.
  if (error instanceof ConnectionTimeout) process.stdout.write('', () => process.exit());
}

/**
 * What is wrong on this side: a file that cannot be read or written, a configuration that cannot be
 * used.
 */
function localProblem(error: unknown): string | undefined {
  if (error instanceof Error && ABOUT_FILES.includes(error.name)) return error.message;
  return systemProblem(error);
}

/** Says what went wrong, and returns the exit code. */
async function report(error: unknown): Promise<number> {
  if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok;
  const used = commands.command();
  const found = describe(error);
  if (isJsonAsked()) (await context.printer()).error(found);
  // commander has said its word already.
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

/** Also of words that could not be parsed. */
function isJsonAsked(): boolean {
  const words = process.argv.slice(2);
  const end = words.indexOf('--');
  return context.json || words.slice(0, end < 0 ? undefined : end).includes('--json');
}
