/** Looks at files for an inventory: in threads as without them, and in files with holes. */
import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { mkdir, open, readFile, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { lookAtFiles, type FileLook } from '../../../src/adapters/inventory/file-look.js';
import { unpackFacts } from '../../../src/adapters/inventory/image-facts.js';
import { LookThreads } from '../../../src/adapters/inventory/look-threads.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';

const [FILES, AT_ONCE] = [3000, 200];

describe('looks at files of an inventory', () => {
  const scratch = scratchFolder();
  const folder = () => scratch.path('files');
  const at = (name: string) => join(folder(), name);
  const withFolder = async <T>(use: (fd: number) => Promise<T>): Promise<T> => {
    const fd = openSync(folder(), 'r');
    try {
      return await use(fd);
    } finally {
      closeSync(fd);
    }
  };
  const create = (name: string, ...words: readonly string[]) =>
    sh('qemu-img', 'create', '-q', '-f', 'qcow2', ...words, at(name), '1M');
  const looked = (...names: readonly string[]) => withFolder((fd) => lookAtFiles({ folder: fd, names, known: [] }));
  const factsOf = (look: FileLook | undefined) => {
    assert.ok(typeof look === 'object' && 'facts' in look, JSON.stringify(look));
    return unpackFacts(look.facts);
  };

  before(async () => {
    await mkdir(folder());
    await create('base');
    await create('overlay', '-F', 'qcow2', '-b', 'base');
    await mkdir(at('a folder'));
    await symlink('base', at('a link'));
    await sh('mkfifo', at('a fifo'));
  });

  it('say the same in threads, in the order of the names, and end with them', async () => {
    const odd = ['base', 'absent', 'a folder', 'overlay', 'a link', 'a fifo'];
    const names = Array.from({ length: FILES }, (_, n) => `file-${String(n)}`);
    for (const name of names) await writeFile(at(name), name);
    const all = names.flatMap((name, n) => [name, odd[n % odd.length] ?? '']);
    const threads = new LookThreads();
    try {
      await withFolder(async (fd) => {
        const jobs = [];
        for (let from = 0; from < all.length; from += AT_ONCE) {
          const some = all.slice(from, from + AT_ONCE);
          jobs.push(threads.look({ folder: fd, names: some, known: [] }));
        }
        assert.ok(threads.width > 1, 'there are threads');
        const found = (await Promise.all(jobs)).flat();
        // What is not settled yet may be by now.
        const settled = (look: FileLook) => JSON.stringify(look).replace('"~', '"');
        const here = await lookAtFiles({ folder: fd, names: all, known: [] });
        assert.deepEqual(found.map(settled), here.map(settled));
      });
    } finally {
      threads.end();
    }
    assert.equal(threads.width, 1);
  });

  it('find a mark behind a hole, and take a hole for zeros', async () => {
    await create('marked');
    await truncate(at('marked'), 8 << 20);
    assert.deepEqual(factsOf((await looked('marked'))[0]).findings, []);
    const file = await open(at('marked'), 'r+');
    await file.write(Buffer.from('conectix'), 0, 8, (8 << 20) - 512);
    await file.close();
    const { format, findings } = factsOf((await looked('marked'))[0]);
    assert.equal(format, 'qcow2');
    assert.deepEqual(
      findings.map(({ reason }) => reason),
      ['SEVERAL_FORMATS'],
    );
    await writeFile(at('hole'), '');
    await truncate(at('hole'), 8 << 20);
    assert.equal(factsOf((await looked('hole'))[0]).format, 'raw');
    const medium = await open(at('hole'), 'r+');
    await medium.write(Buffer.from('koly'), 0, 4, (8 << 20) - 512);
    await medium.close();
    assert.equal(factsOf((await looked('hole'))[0]).format, 'dmg');
  });

  it('judge files with the same head by what else there is in each', async () => {
    await create('first');
    const head = (await readFile(at('first'))).subarray(0, 8192);
    const write = async (name: string, bytes: Buffer, length: number, ...marks: readonly [string, number][]) => {
      await writeFile(at(name), bytes);
      await truncate(at(name), length);
      const file = await open(at(name), 'r+');
      for (const [mark, offset] of marks) await file.write(Buffer.from(mark), 0, mark.length, offset);
      await file.close();
    };
    const [longer, vhd, medium] = [8 << 20, 'conectix', 'CD001'];
    const other = Buffer.from(head);
    other.writeBigUInt64BE(2n << 20n, 24);
    const made: [string, () => Promise<void>, readonly string[]][] = [
      ['plain', () => write('plain', head, longer), []],
      ['short', () => write('short', head, 8192), ['TABLE_OUTSIDE_FILE', 'TABLE_OUTSIDE_FILE']],
      ['data', () => write('data', head, longer, ['data', 1 << 20]), []],
      ['vhd', () => write('vhd', head, longer, [vhd, longer - 512]), ['SEVERAL_FORMATS']],
      ['medium', () => write('medium', head, longer, [medium, 0x8001]), ['SEVERAL_FORMATS']],
      ['plain again', () => write('plain again', head, longer), []],
      ['size', () => write('size', other, longer), []],
    ];
    for (const [, make] of made) await make();
    const names = made.map(([name]) => name);
    // Twice, so that each is judged with every other one known.
    const found = await looked(...names, ...names.toReversed());
    for (const [n, look] of [...found.slice(0, names.length), ...found.slice(names.length).reverse()].entries()) {
      const [name, , reasons] = made[n % made.length] ?? ['', undefined, []];
      const facts = factsOf(look);
      assert.deepEqual(
        facts.findings.map(({ reason }) => reason),
        reasons,
        name,
      );
      assert.equal(facts.virtualSizeBytes, name === 'size' ? 2n << 20n : 1n << 20n, name);
      assert.equal(facts.lengthBytes, BigInt(name === 'short' ? 8192 : longer), name);
    }
  });
});
