/** Whatever RPC takes a passphrase, the command has an option for it, which takes a file. */
import assert from 'node:assert/strict';
import type { Command } from 'commander';
import { changingCommands } from '../../../src/cli/commands/changing-commands.js';
import { fetchCommands } from '../../../src/cli/commands/fetch-commands.js';
import { Context } from '../../../src/cli/context.js';
import { makingCommands } from '../../../src/cli/commands/image-commands.js';
import { readingCommands } from '../../../src/cli/commands/reading-commands.js';
import { services } from '../../support/descriptors.js';

const COMMANDS: Readonly<Record<string, string>> = {
  MapImage: 'map',
  MeasureImage: 'measure',
  CreateImage: 'create',
  ConvertImage: 'convert',
  ExtractSnapshot: 'extract',
  FetchImage: 'fetch',
  ResizeImage: 'resize',
  RebaseImage: 'rebase',
  CommitImage: 'commit',
  CheckImage: 'check',
  CompareImages: 'compare',
  CreateSnapshot: 'snapshot create',
  DeleteSnapshot: 'snapshot rm',
  RevertSnapshot: 'snapshot revert',
};
const TAKES_PASSPHRASE = ['hostler.v1.ImageSecret', 'hostler.v1.ImageEncryption'];

describe('passphrases on the command line', () => {
  const context = new Context(
    () => ({ address: 'unix:///nowhere', connectTimeout: 20 }),
    () => true,
  );
  const all = [readingCommands, makingCommands, fetchCommands, changingCommands].flatMap((commands) =>
    commands(context),
  );
  const find = (words: string): Command | undefined =>
    words.split(' ').reduce<{ commands: readonly Command[]; found?: Command }>(
      ({ commands }, word) => {
        const found = commands.find((command) => command.name() === word);
        return found === undefined ? { commands: [] } : { commands: found.commands, found };
      },
      { commands: all },
    ).found;
  const rpcs = services().flatMap(({ methods }) =>
    methods.flatMap(({ name, input }) => {
      const fields = input.fields.filter(({ message }) => TAKES_PASSPHRASE.includes(message?.typeName ?? ''));
      return fields.length === 0 ? [] : [{ name, fields: fields.length }];
    }),
  );

  it('no RPC is left out', () => {
    assert.deepEqual(rpcs.map(({ name }) => name).sort(), Object.keys(COMMANDS).sort());
  });
  for (const { name, fields } of rpcs)
    it(`${name}: an option for each of ${String(fields)}`, () => {
      const command = find(COMMANDS[name] ?? '') ?? assert.fail('there is no such command');
      const options = command.options.filter(({ long }) => long?.includes('passphrase'));
      assert.equal(options.length, fields);
      for (const { flags, description } of options) {
        assert.match(flags, /passphrase-file <file>$/);
        assert.match(description, /- is standard input/);
      }
    });
});
