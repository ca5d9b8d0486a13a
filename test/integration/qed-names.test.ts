/**
 * The base of a QED: what qemu would open, our reader says, or refuses the image. qemu-img itself
 * is the witness.
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { readQed } from '../../src/domain/formats/qed.js';
import { inMemory } from '../support/header.js';
import { scratchFolder } from '../support/scratch.js';
import { sh, tryRun } from '../support/shell.js';

const [OFFSET_AT, LENGTH_AT] = [56, 60];

describe('the base of a QED', () => {
  const scratch = scratchFolder();
  const byQemu = async (path: string): Promise<string | undefined> => {
    const { code, stdout } = await tryRun('qemu-img', ['info', '-f', 'qed', '--output=json', path]);
    return code === 0 ? (JSON.parse(stdout) as { 'backing-filename'?: string })['backing-filename'] : undefined;
  };

  for (const [title, offset, length, named] of [
    ['where qemu writes it', 64, 9, '/base.raw'],
    ['a part of it', 65, 4, 'base'],
    ['at 0', 0, 9, 'refused'],
    ['within the header', 4, 9, 'refused'],
    ['at the end of the header', 63, 9, 'refused'],
    ['at 0, without a length', 0, 0, undefined],
  ] as const)
    it(title, async () => {
      const path = scratch.path('image.qed');
      await sh('qemu-img', 'create', '-q', '-u', '-f', 'qed', '-F', 'raw', '-b', '/base.raw', path, '1M');
      const content = await readFile(path);
      content.writeUInt32LE(offset, OFFSET_AT);
      content.writeUInt32LE(length, LENGTH_AT);
      await writeFile(path, content);
      const reading = readQed(inMemory(content));
      if (named === 'refused') await assert.rejects(reading, { reason: 'IMAGE_MALFORMED' });
      else {
        assert.equal((await reading).backingFile, named);
        assert.equal(await byQemu(path), named);
      }
    });
});
