/** The commands of a program as help shows them, for generated files. */
import type { Command, Option } from 'commander';

/** One option of a command. */
export interface OptionEntry {
  /** As help shows it: `-f, --format <format>`. */
  readonly flags: string;
  readonly description: string;
  /** Its names: `-f`, `--format`. */
  readonly names: readonly string[];
  readonly takesValue: boolean;
  readonly choices: readonly string[];
}

/** A command with those below it. */
export interface CommandEntry {
  /** The words from the program on: `hostler`, `image`, `convert`. */
  readonly path: readonly string[];
  readonly description: string;
  /** The arguments after its name: `[options] <source> <target>`. */
  readonly usage: string;
  readonly args: readonly { readonly name: string; readonly description: string }[];
  readonly options: readonly OptionEntry[];
  readonly commands: readonly CommandEntry[];
}

/** Everything that help shows, in its order. */
export function commandTree(command: Command, above: readonly string[] = []): CommandEntry {
  const help = command.createHelp();
  const path = [...above, command.name()];
  return {
    path,
    description: command.description(),
    usage: command.usage(),
    args: command.registeredArguments.map((each) => ({
      name: help.argumentTerm(each),
      description: help.argumentDescription(each),
    })),
    options: help.visibleOptions(command).map((option) => optionEntry(option, help.optionDescription(option))),
    commands: help
      .visibleCommands(command)
      .filter((each) => each.name() !== 'help')
      .map((each) => commandTree(each, path)),
  };
}

/** The command and all below it, parents first. */
export function allCommands(tree: CommandEntry): CommandEntry[] {
  return [tree, ...tree.commands.flatMap(allCommands)];
}

function optionEntry(option: Option, description: string): OptionEntry {
  return {
    flags: option.flags,
    description,
    names: [option.short, option.long].filter((name) => name !== undefined),
    takesValue: option.required || option.optional,
    choices: option.argChoices ?? [],
  };
}
