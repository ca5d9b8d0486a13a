/** Parts of every command's help in addition to the list of its options. */
import type { Command, Option } from 'commander';
import { EXAMPLES } from './examples.js';
import { CODE_NOTES, exitCodesOf, type ExitCode } from './exit-codes.js';

const ENVIRONMENT = `
Which daemon is called: --address, or --context; else HOSTLER_ADDRESS; else HOSTLER_CONTEXT; else the
current context of \`hostler context\`; else unix:///run/hostler/hostler.sock. HOSTLER_TLS_CA,
HOSTLER_TLS_CERT and HOSTLER_TLS_KEY name the TLS files of HOSTLER_ADDRESS. NO_COLOR and TERM=dumb
are respected. \`hostler COMMAND --help\` has examples of each command.`;

/** The words of a command after `hostler`, such as `image check`; empty for `hostler` itself. */
export function commandPath(command: Command): string {
  const { parent } = command;
  return parent === null ? '' : `${commandPath(parent)} ${command.name()}`.trim();
}

/** Marks required options, and adds examples and exit codes, in a command and all below it. */
export function completeHelp(command: Command): void {
  command.configureHelp({ optionDescription });
  const path = commandPath(command);
  if (command.commands.length === 0) command.addHelpText('after', () => footer(path));
  if (path === '') command.addHelpText('after', () => `${ENVIRONMENT}\n\n${codesText(exitCodesOf(''))}`);
  for (const each of command.commands) completeHelp(each);
}

/** As commander writes it, with `required` if an option has no default and must be given. */
function optionDescription(option: Option): string {
  const { description, argChoices, defaultValueDescription, envVar, mandatory } = option;
  const defaultValue: unknown = option.defaultValue;
  // A label that may be repeated starts with an empty list.
  const isPlain =
    typeof defaultValue === 'string'
      ? defaultValue !== ''
      : Number.isFinite(defaultValue) || defaultValueDescription !== undefined;
  const notes = [
    ...(mandatory ? ['required'] : []),
    ...(argChoices === undefined ? [] : [`choices: ${argChoices.join(', ')}`]),
    ...(isPlain ? [`default: ${defaultValueDescription ?? String(defaultValue)}`] : []),
    ...(envVar === undefined ? [] : [`env: ${envVar}`]),
  ];
  return notes.length === 0 ? description : `${description} (${notes.join('; ')})`;
}

function footer(path: string): string {
  const examples = (EXAMPLES.get(path) ?? []).map((example) => `  $ hostler ${example}`);
  return [
    '',
    'Examples:',
    ...examples,
    '',
    codesText(exitCodesOf(path)),
    ...[CODE_NOTES.get(path) ?? []].flat(),
    '',
    '--address, --context, --json and the --tls options are those of `hostler --help`.',
  ].join('\n');
}

function codesText(codes: readonly ExitCode[]): string {
  return ['Exit codes:', ...codes.map(([code, meaning]) => `  ${String(code).padStart(3)}  ${meaning}`)].join('\n');
}
