import { allCommands, type CommandEntry } from './command-tree.js';

/** A completion script for fish. It finds the command among the words before the cursor. */
export function fishCompletion(tree: CommandEntry): string {
  const name = tree.path.join(' ');
  const commands = allCommands(tree);
  const paths = commands.map((each) => quote(each.path.join(' '))).join(' ');
  const valued = commands.flatMap((each) =>
    each.options
      .filter((option) => option.takesValue)
      .flatMap(({ names }) => names.map((option) => quote(`${each.path.join(' ')} ${option}`))),
  );
  const lines = commands.flatMap((each) => {
    const when = `complete -c ${name} -n '__${name}_at "${each.path.join(' ')}"'`;
    return [
      ...each.commands.map((one) => `${when} -f -a ${one.path.at(-1) ?? ''} -d ${quote(one.description)}`),
      ...each.options.map(({ names, description, takesValue, choices }) => {
        const words = names.map((option) =>
          option.startsWith('--') ? `-l ${option.slice(2)}` : `-s ${option.slice(1)}`,
        );
        const value = choices.length > 0 ? ` -x -a ${quote(choices.join(' '))}` : takesValue ? ' -r' : '';
        return `${when} ${words.join(' ')}${value} -d ${quote(description)}`;
      }),
    ];
  });
  return `# Completion of ${name} for fish.
function __${name}_at
    set -l command ${name}
    set -l skip
    for word in (commandline -opc)[2..]
        if test -n "$skip"
            set skip
        else if contains -- "$command $word" ${valued.join(' ')}; or contains -- "${name} $word" ${valued.join(' ')}
            set skip yes
        else if contains -- "$command $word" ${paths}
            set command "$command $word"
        end
    end
    test "$command" = "$argv[1]"
end
${lines.join('\n')}
`;
}

function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", String.raw`\'`)}'`;
}
