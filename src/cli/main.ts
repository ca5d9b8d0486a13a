/** The `hostler` command: a client like any other. */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { ConnectionTimeout } from './connection.js';
import { authCommands, type AuthQuestion, type AuthVerdict } from './commands/auth-command.js';
import { certCommands } from './commands/cert-commands.js';
import { Context, type GlobalFlags } from './context.js';
import {
  EXIT,
  UsageError,
  exitCode,
  explain,
  failureOf,
  isServiceError,
  ownStatus,
  statusOf,
  connectionStatus,
} from './failure.js';
import { contextCommands } from './commands/context-commands.js';
import { changingCommands } from './commands/changing-commands.js';
import { diskCommands } from './commands/disk-commands.js';
import { execCommand } from './commands/exec-command.js';
import { cacheCommands, fetchCommands } from './commands/fetch-commands.js';
import { fileCommands } from './commands/file-commands.js';
import { changingFolderCommands } from './commands/folder-commands.js';
import { hostCommands } from './commands/host-commands.js';
import { makingCommands } from './commands/image-commands.js';
import { inventoryCommands } from './commands/inventory-commands.js';
import { movingCommands } from './commands/moving-commands.js';
import { journalCommands, type JournalTools } from './commands/journal-command.js';
import { opsCommands } from './commands/ops-commands.js';
import { readingCommands } from './commands/reading-commands.js';
import { completionCommand } from './commands/shell-commands.js';
import type { Status } from '../gen/google/rpc/status.js';
import { readVersion } from '../protocol/version.js';

/** Errors that need no stack: what is wrong lies in files that the caller named. */
const ABOUT_FILES = [
  'ConfigError',
  'OwnFileError',
  'TlsFilesBroken',
  'CertificateProblem',
  'ContextsBroken',
  'JournalToolError',
];

const program = new Command('hostler')
  .description('Looks after the disk images of a hypervisor host, through its hostlerd.')
  .addOption(fromEnv('--address <address>', 'unix:///PATH or tcp://HOST:PORT of the daemon', 'HOSTLER_ADDRESS'))
  .addOption(fromEnv('--context <name>', 'of `hostler context`; without both, its current one', 'HOSTLER_CONTEXT'))
  .version(`hostler ${readVersion()}`, '--version', 'the version of this client')
  .option('--json', 'print JSON')
  .option(
    '--connect-timeout <seconds>',
    'how long a daemon may be silent before there is a connection',
    connectSeconds,
    20,
  )
  .addOption(fromEnv('--tls-ca <file>', 'mutual TLS: the authority of the daemon', 'HOSTLER_TLS_CA'))
  .addOption(fromEnv('--tls-cert <file>', 'mutual TLS: the own certificate', 'HOSTLER_TLS_CERT'))
  .addOption(fromEnv('--tls-key <file>', 'mutual TLS: its key', 'HOSTLER_TLS_KEY'))
  .exitOverride()
  .hook('preAction', () => context.prepare());
const context = new Context(
  () => program.opts<GlobalFlags>(),
  (flag) => program.getOptionValueSource(flag) === 'cli',
);
const image = program.command('image').description('disk images');
for (const commands of [readingCommands, makingCommands, changingCommands, fetchCommands, movingCommands])
  for (const command of commands(context)) image.addCommand(command);
const file = program.command('file').description('files that are no images');
for (const command of fileCommands(context)) file.addCommand(command);
const host = program.command('host').description('facts about the host');
for (const command of hostCommands(context)) host.addCommand(command);
const disk = program.command('disk').description('disks of domains');
for (const command of diskCommands(context)) disk.addCommand(command);
for (const command of inventoryCommands(context)) program.addCommand(command);
program.addCommand(execCommand(context));
// Short forms.
for (const command of changingFolderCommands(context)) program.addCommand(command);
const cache = program.command('cache').description('cached images');
for (const command of cacheCommands(context)) cache.addCommand(command);
const ops = program.command('ops').description('operations');
for (const command of opsCommands(context)) ops.addCommand(command);
const contexts = program.command('context').description('daemons by name');
for (const command of contextCommands(context)) contexts.addCommand(command);
const cert = program.command('cert').description('certificates for tests');
for (const command of certCommands(context)) cert.addCommand(command);
const journal = program.command('journal').description('journals of state folders, without their daemons');
for (const command of journalCommands(context, journalTools())) journal.addCommand(command);
const auth = program.command('auth').description('who may do what');
for (const command of authCommands(context, explainDecision)) auth.addCommand(command);
program.addCommand(completionCommand(program));
const guard = (command: Command) => command.exitOverride().commands.forEach(guard);
guard(program);

for (const stream of [process.stdout, process.stderr])
  // Its reader has gone, as `head` does, or its disk is full: nothing can be shown any more.
  stream.on('error', () => process.exit(EXIT.other));

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = await report(error);
  // The library keeps the connection that says nothing.
  if (error instanceof ConnectionTimeout) process.stdout.write('', () => process.exit());
}

function connectSeconds(text: string): number {
  if (!/^\d{1,4}(?:\.\d)?$/.test(text)) throw new InvalidArgumentError('must be a number of seconds');
  return Number(text);
}

function fromEnv(flags: string, description: string, variable: string): Option {
  return new Option(flags, description).env(variable);
}

/** Loaded when they are wanted. */
function journalTools(): JournalTools {
  return {
    status: async (path) => (await import('../wiring/journal-tools.js')).journalStatus(path),
    salvage: async (from, to) => (await import('../wiring/journal-tools.js')).journalSalvage(from, to),
  };
}

/** Loaded when it is wanted: it is half of the daemon. */
async function explainDecision(question: AuthQuestion): Promise<AuthVerdict | undefined> {
  const { authCheck } = await import('../wiring/auth-check.js');
  return authCheck(question);
}

/**
 * What is wrong on this side: a file that cannot be read or written, a configuration that cannot be
 * used.
 */
function localProblem(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if (ABOUT_FILES.includes(error.name)) return error.message;
  const isOfSystem = 'errno' in error && 'code' in error && typeof error.code === 'string';
  return isOfSystem ? error.message.replace(/^[A-Z0-9_]+: /, '') : undefined;
}

/** Says what went wrong, and returns the exit code. */
async function report(error: unknown): Promise<number> {
  if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok;
  const found = describe(error);
  if (isJsonAsked()) (await context.printer()).error(found);
  // commander has said its word already.
  if (error instanceof CommanderError) return EXIT.usage;
  const failure = failureOf(found);
  if (failure.reason === 'BUG') throw error;
  process.stderr.write(`${explain(failure)}\n`);
  return exitCode(failure);
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
