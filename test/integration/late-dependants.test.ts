/**
 * An image counts as a dependant from the moment at which it needs another, whatever it was before
 * and however it names it.
 */
import assert from 'node:assert/strict';
import { lstat, mkdir, rename, truncate, utimes, writeFile } from 'node:fs/promises';
import { RootIndex } from '../../src/adapters/index/root-index.js';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';

/** More than anything that may still change within the same tick of the clock. */
const LATER_MS = 10_000;

describe('dependants that come later', () => {
  const scratch = scratchFolder();
  let count = 0;

  const identity = async (path: string) => {
    const { dev: device, ino: inode } = await lstat(path, { bigint: true });
    return { device, inode };
  };
  const rootWithBase = async () => {
    const root = scratch.path(`root-${String(++count)}`);
    await mkdir(root);
    const base = `${root}/base`;
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', base, '1M');
    return { root, base };
  };
  const indexOf = async (root: string) =>
    new RootIndex(
      root,
      await identity(root),
      [],
      () => undefined,
      () => undefined,
    );
  /** A look at a time at which nothing that is there has been changed just now. */
  const refreshLater = async (index: RootIndex): Promise<void> => {
    const { now } = Date;
    Date.now = () => now() + LATER_MS;
    try {
      await index.refresh();
    } finally {
      Date.now = now;
    }
  };
  const overlay = (base: string, path: string) =>
    sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', base, path);

  const FILES: Record<string, (path: string) => Promise<unknown>> = {
    'an empty file': (path) => writeFile(path, ''),
    'a raw disk': (path) => sh('qemu-img', 'create', '-q', '-f', 'raw', path, '2M'),
    'a text': (path) => writeFile(path, 'not yet'),
  };
  for (const [title, make] of Object.entries(FILES))
    it(`an overlay that is written over ${title} of a folder that stays the same`, async () => {
      const { root, base } = await rootWithBase();
      const path = `${root}/late`;
      await make(path);
      const index = await indexOf(root);
      await refreshLater(index);
      const before = await lstat(root);
      await overlay(base, path);
      // What qemu-img made beside it and removed again has touched the folder; nothing has changed
      // in it.
      await utimes(root, before.atime, before.mtime);
      await index.refresh();
      assert.deepEqual(
        index.dependantsOf(await identity(base)).found.map((each) => each.path),
        [path],
      );
      await truncate(path, 0);
      await index.refresh();
      assert.deepEqual(index.dependantsOf(await identity(base)).found, []);
    });

  const found = async (index: RootIndex, base: string) => {
    await index.refresh();
    return index.dependantsOf(await identity(base)).found.map(({ path }) => path);
  };

  it('an overlay that takes the name of a file that was none, in a folder that was looked at', async () => {
    const { root, base } = await rootWithBase();
    await writeFile(`${root}/late`, 'not yet');
    await mkdir(`${root}/other`);
    await overlay(base, `${root}/other/over`);
    const index = await indexOf(root);
    await refreshLater(index);
    await rename(`${root}/other/over`, `${root}/late`);
    assert.deepEqual(await found(index, base), [`${root}/late`]);
  });

  it('an overlay in a folder that takes the name of another', async () => {
    const { root, base } = await rootWithBase();
    for (const folder of ['first', 'second']) await mkdir(`${root}/${folder}`);
    await writeFile(`${root}/first/disk`, 'not yet');
    await overlay(base, `${root}/second/disk`);
    const index = await indexOf(root);
    await refreshLater(index);
    await rename(`${root}/first`, `${root}/gone`);
    await rename(`${root}/second`, `${root}/first`);
    assert.deepEqual(await found(index, base), [`${root}/first/disk`]);
  });

  const NAMES: Record<string, (base: string) => string> = {
    'a description of an image in a file': (base) =>
      `json:{"driver":"qcow2","file.driver":"file","file.filename":"${base}"}`,
    'a description that leaves the drivers out': (base) => `json:{"file.filename":"${base}"}`,
    'a description with a layer more': (base) =>
      `json:{"driver":"qcow2","file":{"driver":"raw","file":{"driver":"file","filename":"${base}"}}}`,
    'a description with options': (base) =>
      `json:{"driver":"qcow2","file":{"driver":"file","filename":"${base}","locking":"auto"},"discard":"unmap"}`,
    'a description in single quotes': (base) =>
      `json:{'driver':'qcow2','file.driver':'file','file.filename':'${base}'}`,
    'a description with escapes': (base) => `json:{"file.filename":"${base.replaceAll('/', String.raw`\u002f`)}"}`,
    'file:': (base) => `file:${base}`,
    'a protocol before the path': (base) => `blkdebug::${base}`,
  };
  for (const [title, nameOf] of Object.entries(NAMES))
    it(`a base by ${title}`, async () => {
      const { root, base } = await rootWithBase();
      await sh(
        'qemu-img',
        'create',
        '-q',
        '-f',
        'qcow2',
        '-F',
        'qcow2',
        '-u',
        '-b',
        nameOf(base),
        `${root}/over`,
        '1M',
      );
      // The tool reads it so.
      await sh('qemu-io', '-r', '-U', '-f', 'qcow2', '-c', 'read 0 64k', `${root}/over`);
      const index = await indexOf(root);
      await index.refresh();
      assert.equal(index.dependantsOf(await identity(base)).found.length, 1);
    });

  it('the file that holds the data of a qcow2', async () => {
    const { root } = await rootWithBase();
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', `data_file=${root}/data`, `${root}/outside`, '1M');
    const index = await indexOf(root);
    await index.refresh();
    assert.deepEqual(
      index.dependantsOf(await identity(`${root}/data`)).found.map(({ path }) => path),
      [`${root}/outside`],
    );
  });
});
