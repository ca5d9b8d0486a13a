import { allCommands, type CommandEntry, type OptionEntry } from './command-tree.js';

/** A completion script for zsh: one function for each command, with descriptions. */
export function zshCompletion(tree: CommandEntry): string {
  const functions = allCommands(tree).map(functionOf);
  return `#compdef ${tree.path.join(' ')}\n\n${functions.join('\n')}\n_${tree.path.join('_')} "$@"\n`;
}

function functionOf(command: CommandEntry): string {
  const options = command.options.map(specOf);
  const name = functionName(command);
  if (command.commands.length === 0)
    return `${name}() {\n  _arguments -s ${[...options, `'*:file:_files'`].join(' \\\n    ')}\n}\n`;
  const rows = command.commands.map((each) => `    ${quote(`${each.path.at(-1) ?? ''}:${each.description}`)}`);
  const cases = command.commands.map((each) => `    ${each.path.at(-1) ?? ''}) ${functionName(each)} ;;`);
  return `${name}() {
  local curcontext=$curcontext state line
  local -a commands=(
${rows.join('\n')}
  )
  _arguments -C ${[...options, `'1:command:->command'`, `'*::argument:->argument'`].join(' \\\n    ')}
  case $state in
  command) _describe command commands ;;
  argument)
    case $line[1] in
${cases.join('\n')}
    esac
    ;;
  esac
}
`;
}

function specOf({ names, description, takesValue, choices }: OptionEntry): string {
  const text = description.replaceAll(/[[\]:]/g, (sign) => `\\${sign}`);
  const value = choices.length > 0 ? `:value:(${choices.join(' ')})` : takesValue ? ':value:_files' : '';
  const own = names.length > 1 ? `{${names.join(',')}}` : (names[0] ?? '');
  return `'*'${own}${quote(`[${text}]${value}`)}`;
}

function functionName({ path }: CommandEntry): string {
  return `_${path.join('_').replaceAll('-', '_')}`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
