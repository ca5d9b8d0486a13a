/** Every command of the table: what its help says, and that its examples are commands. */
import assert from 'node:assert/strict';
import { CommanderError, type Command } from 'commander';
import { EXAMPLES } from '../../../src/cli/help/examples.js';
import { ANSWERS, exitCodesOf } from '../../../src/cli/help/exit-codes.js';
import { FIELD_NAMES, nameOfField, namesInText } from '../../../src/cli/help/field-names.js';
import { commandPath } from '../../../src/cli/help/help-text.js';
import { createProgram } from '../../../src/cli/program.js';
import { contractNames } from '../../support/descriptors.js';

const leaves = (command: Command): Command[] =>
  command.commands.length === 0 ? [command] : command.commands.flatMap(leaves);
const find = (path: string) => {
  const found = leaves(createProgram().program).find((command) => commandPath(command) === path);
  assert.ok(found, `there is no command ${path}`);
  return found;
};

/** Whether the command line alone shows that something is missing. */
function needsWords({ registeredArguments, options }: Command): boolean {
  return registeredArguments.some(({ required }) => required) || options.some(({ mandatory }) => mandatory);
}

function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({ writeOut: (part) => (text += part), getOutHelpWidth: () => 100 });
  command.outputHelp();
  return text;
}

describe('the help of the command line', () => {
  const all = leaves(createProgram().program);

  for (const command of all) {
    const path = commandPath(command);
    it(`hostler ${path} --help has a description, required options, examples and exit codes`, () => {
      const help = helpOf(command);
      assert.match(help, /^Usage: hostler [\s\S]*\n\n\S/);
      for (const option of command.options.filter(({ mandatory }) => mandatory))
        assert.match(help.replaceAll(/\s+/g, ' '), new RegExp(`${option.long ?? ''} [^-]*\\(required`));
      const [, examples = ''] = /\nExamples:\n([\s\S]*?)\n\n/.exec(help) ?? [];
      assert.match(examples, /^ {2}\$ hostler /);
      for (const [code, meaning] of exitCodesOf(path))
        assert.ok(help.includes(`${String(code).padStart(5)}  ${meaning}`));
    });

    it(`hostler ${path}: its examples are commands with options that it has`, async () => {
      for (const example of EXAMPLES.get(path) ?? []) {
        const { program } = createProgram();
        let ran = '';
        for (const each of leaves(program)) each.action(() => void (ran = commandPath(each)));
        await program.parseAsync(example.split(' '), { from: 'user' });
        assert.equal(ran, path, example);
      }
    });
  }

  for (const command of all.filter(needsWords))
    it(`hostler ${commandPath(command)} without arguments says what is missing`, async () => {
      const { program } = createProgram();
      let said = '';
      for (const each of leaves(program)) each.configureOutput({ writeErr: (part) => (said += part) });
      await assert.rejects(program.parseAsync(commandPath(command).split(' '), { from: 'user' }), CommanderError);
      assert.match(said, /^error: (?:missing required argument|required option) '[^\n]+\n$/);
    });

  it('the tables name only commands that exist', () => {
    const paths = new Set(all.map(commandPath));
    for (const path of [...EXAMPLES.keys(), ...ANSWERS.keys()]) assert.ok(paths.has(path), path);
  });

  it('-f, -F and -O mean the same in every command', () => {
    const meanings = { '-f': ['--format'], '-F': ['--backing-format', '--second-format'], '-O': ['--target-format'] };
    for (const command of all)
      for (const { short, long = '' } of command.options)
        if (short !== undefined && short in meanings)
          assert.ok(
            meanings[short as keyof typeof meanings].includes(long),
            `${commandPath(command)} ${short} ${long}`,
          );
  });

  it('the help of hostler names the variables that choose a daemon', () => {
    const help = helpOf(createProgram().program);
    for (const name of ['HOSTLER_ADDRESS', 'HOSTLER_CONTEXT', 'HOSTLER_TLS_CA', 'NO_COLOR'])
      assert.ok(help.includes(name), name);
  });
});

describe('fields in the words of the command line', () => {
  it('a field is shown as the option or argument of the command', () => {
    const cases = [
      ['image convert', 'target_format', '--target-format'],
      ['image convert', 'source_format', '--format'],
      ['image convert', 'bandwidth_bytes_per_second', '--bandwidth'],
      ['image compare', 'first_format', '--format'],
      ['image create', 'size', '<size>'],
      ['image overlay', 'size', '--size'],
      ['image copy', 'remote.host', 'remote.host'],
      ['image copy', 'remote.port', '--port'],
      ['file shift-ids', 'uid_maps[0].start', '--uid-map'],
      ['ops show', 'operation_id', '<id>'],
      ['image fetch', 'source.http.checksum_url', '--checksum-url'],
    ] as const;
    for (const [path, field, name] of cases) assert.equal(nameOfField(field, find(path)), name, `${path} ${field}`);
    assert.equal(
      namesInText('exactly one of operation_id and labels', find('ops cancel')),
      'exactly one of <id> and labels',
    );
    const advice = 'Set `recursive`, or `allow_dependants`.';
    assert.equal(namesInText(advice, find('rmdir')), 'Set --recursive, or `allow_dependants`.');
    assert.equal(namesInText(advice, find('image rm')), 'Set `recursive`, or --allow-dependants.');
  });

  it('the table has only fields of the contract and names of commands', () => {
    const names = new Set(
      leaves(createProgram().program).flatMap((command) => [
        ...command.options.flatMap(({ long }) => long ?? []),
        ...command.registeredArguments.map((argument) => `<${argument.name()}>`),
      ]),
    );
    const fields = new Set(contractNames().map((name) => name.slice(name.lastIndexOf('.') + 1)));
    for (const [field, candidates] of FIELD_NAMES) {
      assert.ok(fields.has(field), `the contract has no field ${field}`);
      for (const name of candidates) assert.ok(names.has(name), `no command has ${name}`);
    }
  });
});
