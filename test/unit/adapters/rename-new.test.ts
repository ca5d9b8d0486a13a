/** Renames that never replace, with and without the system's own call. */
import assert from 'node:assert/strict';
import { lstat, mkdir, readFile, writeFile } from 'node:fs/promises';
import { renameNew } from '../../../src/adapters/linux/rename.js';
import { scratchFolder } from '../../support/scratch.js';

describe('renames that never replace', () => {
  const scratch = scratchFolder();
  for (const sync of [true, false])
    it(sync ? 'by the system' : 'where the filesystem may not answer at once', async () => {
      const at = (name: string) => scratch.path(`${String(sync)}-${name}`);
      await writeFile(at('file'), 'one');
      await writeFile(at('taken'), 'two');
      await mkdir(at('folder'));
      await mkdir(at('empty'));
      for (const from of ['file', 'folder'])
        for (const to of ['taken', 'empty'])
          await assert.rejects(renameNew(at(from), at(to), sync), { code: 'EEXIST' }, `${from} ${to}`);
      await assert.rejects(renameNew(at('absent'), at('x'), sync), { code: 'ENOENT' });
      const { ino } = await lstat(at('file'));
      await renameNew(at('file'), at('new'), sync);
      await renameNew(at('folder'), at('new-folder'), sync);
      assert.equal((await lstat(at('new'))).ino, ino);
      assert.ok((await lstat(at('new-folder'))).isDirectory());
      await assert.rejects(lstat(at('file')), { code: 'ENOENT' });
      assert.equal(await readFile(at('taken'), 'utf8'), 'two');
    });
});
