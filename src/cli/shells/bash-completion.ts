import { allCommands, type CommandEntry } from './command-tree.js';

/**
 * A completion script for bash. It finds the command among the words before the cursor and offers
 * what may follow: commands, options, the choices of an option; otherwise files.
 */
export function bashCompletion(tree: CommandEntry): string {
  const commands = allCommands(tree);
  const name = tree.path.join(' ');
  const own = commands.map((each) => {
    const words = [...each.commands.map(lastName), ...each.options.flatMap(({ names }) => names)];
    return `    '${each.path.join(' ')}') words='${words.join(' ')}' ;;`;
  });
  const paths = commands.map((each) => `'${each.path.join(' ')}'`).join('|');
  const choices = commands.flatMap((each) =>
    each.options
      .filter((option) => option.choices.length > 0)
      .map(({ names, choices: values }) => {
        const patterns = names.map((option) => `'${each.path.join(' ')} ${option}'`).join('|');
        return `    ${patterns}) words='${values.join(' ')}' ;;`;
      }),
  );
  const valued = commands.flatMap((each) =>
    each.options
      .filter((option) => option.takesValue)
      .flatMap(({ names }) => names.map((option) => `'${each.path.join(' ')} ${option}'`)),
  );
  return `# Completion of ${name} for bash.
_${name}_takes_value() {
  case $1 in
    ${valued.join('|')}) return 0 ;;
  esac
  return 1
}

_${name}() {
  local cur=\${COMP_WORDS[COMP_CWORD]} command='${name}' option= words= i word
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if [ -n "$option" ]; then
      option=
    elif _${name}_takes_value "$command $word" || _${name}_takes_value "${name} $word"; then
      option=$word
    else
      case "$command $word" in
        ${paths}) command="$command $word" ;;
      esac
    fi
  done
  if [ -n "$option" ]; then
    case "$command $option" in
${choices.join('\n')}
      *) return ;;
    esac
  else
    case $command in
${own.join('\n')}
    esac
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -o bashdefault -o default -F _${name} ${name}
`;
}

function lastName({ path }: CommandEntry): string {
  return path.at(-1) ?? '';
}
