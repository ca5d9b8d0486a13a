/** The program with all commands. */
import { Command, Option } from 'commander';
import { authCommands, type AuthQuestion, type AuthVerdict } from './commands/auth-command.js';
import { doctorCommand } from './doctor-command.js';
import { certCommands } from './commands/cert-commands.js';
import { changingCommands } from './commands/changing-commands.js';
import { contextCommands } from './commands/context-commands.js';
import { diskCommands } from './commands/disk-commands.js';
import { execCommand } from './commands/exec-command.js';
import { cacheCommands, fetchCommands } from './commands/fetch-commands.js';
import { fileCommands } from './commands/file-commands.js';
import { changingFolderCommands } from './commands/folder-commands.js';
import { hostCommands } from './commands/host-commands.js';
import { makingCommands } from './commands/image-commands.js';
import { inventoryCommands } from './commands/inventory-commands.js';
import { journalCommands, type JournalTools } from './commands/journal-command.js';
import { movingCommands } from './commands/moving-commands.js';
import { opsCommands } from './commands/ops-commands.js';
import { readingCommands } from './commands/reading-commands.js';
import { completionCommand } from './commands/shell-commands.js';
import { topCommand } from './commands/top-command.js';
import { Context, type GlobalFlags } from './context.js';
import { commandPath, completeHelp } from './help/help-text.js';
import { seconds } from './options.js';
import { readVersion } from '../protocol/version.js';

/** The commands, and what they share. */
export interface Program {
  readonly program: Command;
  readonly context: Context;
  /** The command in the arguments, once they are parsed, also if they are invalid. */
  command(): Command | undefined;
}

/** Creates the commands; reads only the version. Errors of parsing are thrown. */
export function createProgram(): Program {
  const program = globalOptions(new Command('hostler'));
  let used: Command | undefined;
  const context = new Context(
    () => program.opts<GlobalFlags>(),
    (flag) => program.getOptionValueSource(flag) === 'cli',
  );
  program.hook('preAction', (_, command) => {
    used = command;
    return context.prepare();
  });
  addCommands(program, context);
  completeHelp(program);
  const guard = (command: Command) => {
    command.exitOverride((error) => {
      used = command;
      throw error;
    });
    command.commands.forEach(guard);
  };
  guard(program);
  return { program, context, command: () => used };
}

/** The words of the command after `hostler`; unset while there is none. */
export function nameOfCommand(command: Command | undefined): string | undefined {
  return command === undefined ? undefined : commandPath(command);
}

function globalOptions(program: Command): Command {
  return program
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
    .addOption(fromEnv('--tls-key <file>', 'mutual TLS: its key', 'HOSTLER_TLS_KEY'));
}

function addCommands(program: Command, context: Context): void {
  const group = (name: string, description: string, commands: readonly Command[]) => {
    const parent = program.command(name).description(description);
    for (const command of commands) parent.addCommand(command);
  };
  const image = [readingCommands, makingCommands, changingCommands, fetchCommands, movingCommands];
  group(
    'image',
    'disk images',
    image.flatMap((commands) => commands(context)),
  );
  group('file', 'files that are no images', fileCommands(context));
  group('host', 'facts about the host', hostCommands(context));
  group('disk', 'disks of domains', diskCommands(context));
  for (const command of inventoryCommands(context)) program.addCommand(command);
  program.addCommand(topCommand(context));
  program.addCommand(execCommand(context));
  // Short forms.
  for (const command of changingFolderCommands(context)) program.addCommand(command);
  group('cache', 'cached images', cacheCommands(context));
  group('ops', 'operations', opsCommands(context));
  group('context', 'daemons by name', contextCommands(context));
  group('cert', 'certificates for tests', certCommands(context));
  group('journal', 'journals of state folders, without their daemons', journalCommands(context, journalTools()));
  program.addCommand(doctorCommand(context, examineHost));
  group('auth', 'who may do what', authCommands(context, explainDecision));
  program.addCommand(completionCommand(program));
}

/** A number of seconds, which may have a fraction. */
function connectSeconds(text: string): number {
  const { seconds: whole, nanos } = seconds(text);
  return Number(whole) + nanos / 1e9;
}

function fromEnv(flags: string, description: string, variable: string): Option {
  return new Option(flags, description).env(variable);
}

/** Loaded on demand. */
function journalTools(): JournalTools {
  return {
    status: async (path) => (await import('../wiring/journal-tools.js')).journalStatus(path),
    salvage: async (from, to) => (await import('../wiring/journal-tools.js')).journalSalvage(from, to),
  };
}

/** Loaded on demand: it includes the daemon's process runner. */
async function examineHost(file: string, asJson: boolean): Promise<boolean> {
  const { examineFile } = await import('../wiring/doctor/doctor.js');
  return examineFile(file, asJson);
}

/** Loaded on demand: it is half of the daemon. */
async function explainDecision(question: AuthQuestion): Promise<AuthVerdict | undefined> {
  const { authCheck } = await import('../wiring/auth-check.js');
  return authCheck(question);
}
