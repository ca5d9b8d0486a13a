import { Argument, Command } from 'commander';
import { readVersion } from '../../protocol/version.js';
import { bashCompletion } from '../shells/bash-completion.js';
import { commandTree, type CommandEntry } from '../shells/command-tree.js';
import { fishCompletion } from '../shells/fish-completion.js';
import { manualPage } from '../shells/manual.js';
import { zshCompletion } from '../shells/zsh-completion.js';

const GENERATORS: Readonly<Record<string, (tree: CommandEntry) => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
  man: (tree) => manualPage(tree, readVersion()),
};

/** `hostler completion …`: generated from the commands of `program`, like its help. */
export function completionCommand(program: Command): Command {
  return new Command('completion')
    .description('print the completion of a shell, or the manual page')
    .addArgument(new Argument('<kind>', 'what to print').choices(Object.keys(GENERATORS)))
    .action((kind: string) => {
      process.stdout.write(GENERATORS[kind]?.(commandTree(program)) ?? '');
    });
}
