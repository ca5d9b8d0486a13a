import { EXAMPLES } from '../help/examples.js';
import { CODE_NOTES, EXIT_CODES, exitCodesOf } from '../help/exit-codes.js';
import { allCommands, type CommandEntry } from './command-tree.js';

/** The manual page hostler(1) in roff, with every command and option. */
export function manualPage(tree: CommandEntry, version: string): string {
  const [, ...below] = allCommands(tree);
  return [
    `.TH HOSTLER 1 "" "hostler ${escape(version)}" "Hostler"`,
    '.SH NAME',
    `hostler \\- ${escape(firstSentence(tree.description))}`,
    '.SH SYNOPSIS',
    `.B hostler\n${escape(tree.usage)}`,
    '.SH DESCRIPTION',
    escape(tree.description),
    '.SH OPTIONS',
    ...optionsOf(tree),
    '.SH COMMANDS',
    ...below.flatMap(sectionOf),
    '.SH EXIT STATUS',
    ...exitCodes(''),
    '.SH SEE ALSO',
    '.BR hostlerd (8)',
    '',
  ].join('\n');
}

function sectionOf(command: CommandEntry): string[] {
  if (command.commands.length > 0) return [`.SS ${escape(command.path.join(' '))}`, escape(command.description)];
  return [
    `.SS ${escape(command.path.join(' '))}`,
    `.B ${escape(command.path.join(' '))}\n${escape(command.usage)}`,
    '.PP',
    escape(sentence(command.description)),
    ...command.args.filter(({ description }) => description !== '').flatMap((each) => row(each.name, each.description)),
    ...optionsOf(command),
    ...(EXAMPLES.get(wordsOf(command)) ?? []).flatMap((example) => [
      '.PP',
      `.EX\n$ ${escape(`hostler ${example}`)}\n.EE`,
    ]),
    ...ownExitCodes(wordsOf(command)),
  ];
}

/** The words to type after `hostler`. */
function wordsOf({ path }: CommandEntry): string {
  return path.slice(1).join(' ');
}

/** The exit codes of a command for which some mean more than in the list of all. */
function ownExitCodes(command: string): string[] {
  const common = new Map(EXIT_CODES);
  const codes = exitCodesOf(command);
  const note = CODE_NOTES.get(command);
  const isCommon = codes.length === common.size && codes.every(([code, meaning]) => common.get(code) === meaning);
  return [
    ...(isCommon ? [] : ['.PP', 'Exit status:', ...exitCodes(command)]),
    ...(note === undefined ? [] : ['.PP', `${isCommon ? 'Exit status as below. ' : ''}${escape(note)}`]),
  ];
}

function exitCodes(command: string): string[] {
  return exitCodesOf(command).flatMap(([code, meaning]) => row(String(code), meaning));
}

function optionsOf({ options }: CommandEntry): string[] {
  return options.flatMap(({ flags, description }) => row(flags, description));
}

function row(term: string, description: string): string[] {
  return ['.TP', `.B ${escape(term)}`, escape(description)];
}

function firstSentence(text: string): string {
  return text.replace(/\.$/, '').replace(/^L/, 'l');
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${text.endsWith('.') ? '' : '.'}`;
}

/** Special characters: backslashes, hyphens, and those at the beginning of a line. */
function escape(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll(/^(?=[.'])/gm, '\\&');
}
