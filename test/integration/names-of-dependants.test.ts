/** Images are found by what they are, whatever they are called. */
import assert from 'node:assert/strict';
import { lstat, mkdir, rename } from 'node:fs/promises';
import { RootIndex } from '../../src/adapters/index/root-index.js';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';

describe('dependants with any name', () => {
  const scratch = scratchFolder();
  const names: [string, Buffer, Buffer][] = [
    ['plain', Buffer.from('folder'), Buffer.from('over')],
    ['UTF-8', Buffer.from('Ordner für Bilder'), Buffer.from('überlagert 🗿')],
    ['no UTF-8', Buffer.from('ff', 'hex'), Buffer.from('c328fe', 'hex')],
    ['an end of a line', Buffer.from('a\nb'), Buffer.from('\n')],
    ['255 bytes', Buffer.alloc(255, 'x'), Buffer.alloc(255, 0xe9)],
  ];
  for (const [title, folder, name] of names)
    it(title, async () => {
      const root = scratch.path(`root of ${title} é`);
      await mkdir(root);
      const place = Buffer.concat([Buffer.from(`${root}/`), folder]);
      await mkdir(place);
      const base = `${root}/base é`;
      await sh('qemu-img', 'create', '-q', '-f', 'raw', base, '1M');
      await sh('qemu-img', 'create', '-q', '-u', '-f', 'qcow2', '-F', 'raw', '-b', '../base é', `${root}/made`, '1M');
      await rename(`${root}/made`, Buffer.concat([place, Buffer.from('/'), name]));
      const identity = async (path: string) => {
        const { dev: device, ino: inode } = await lstat(path, { bigint: true });
        return { device, inode };
      };
      const index = new RootIndex(
        root,
        await identity(root),
        [],
        () => undefined,
        () => undefined,
      );
      for (let looks = 0; looks < 2; looks++) {
        await index.refresh(await identity(root));
        const { found, unseen } = index.dependantsOf(await identity(base));
        assert.deepEqual(unseen, []);
        assert.equal(found.length, 1);
        assert.ok(found[0]?.path.startsWith(`${root}/`), found[0]?.path);
      }
    });
});
