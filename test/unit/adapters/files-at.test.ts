/** Calls relative to an open folder: by the C library as by Node. */
import assert from 'node:assert/strict';
import { closeSync, fstatSync, lstatSync, mkdirSync, openSync, symlinkSync, writeFileSync } from 'node:fs';
import { errnoOf } from '../../../src/adapters/linux/errno.js';
import { FILES_BY_NODE, loadCalls, type FilesAt } from '../../../src/adapters/inventory/files-at.js';
import { needs } from '../../support/needs.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';

/** `naïve` in Latin-1 is no UTF-8. */
const NAMES = ['file', 'new\nline', 'na\xefve', '\xc3\xa9', 'folder', 'link', 'fifo', 'x'.repeat(255)];
const NO_NAMES = ['absent', 'x'.repeat(256), 'x'.repeat(5000), 'file/below'];

describe('files in an open folder', () => {
  const scratch = scratchFolder();
  let folder = -1;
  let calls: FilesAt | undefined;

  before(async function () {
    calls = loadCalls();
    needs(this, calls !== undefined, 'the C library cannot be called here');
    for (const name of NAMES)
      if (!['folder', 'link', 'fifo'].includes(name))
        writeFileSync(Buffer.from(`${scratch.path('')}/${name}`, 'latin1'), name);
    mkdirSync(scratch.path('folder'));
    symlinkSync('file', scratch.path('link'));
    await sh('mkfifo', scratch.path('fifo'));
    await sh('touch', '-d', '1960-01-02 03:04:05.678', scratch.path('file'));
    folder = openSync(scratch.path(''), 'r');
  });
  after(() => {
    if (folder >= 0) closeSync(folder);
  });

  const outcome = <T>(work: () => T): T | string => {
    try {
      return work();
    } catch (error) {
      return errnoOf(error) ?? String(error);
    }
  };

  it('have the inode that Node sees, whatever their names are', () => {
    for (const name of [...NAMES, ...NO_NAMES]) {
      const [here, there] = [calls, FILES_BY_NODE].map((files) => outcome(() => files?.inodeAt(folder, name)));
      assert.deepEqual(here, there, name);
    }
    const stat = lstatSync(scratch.path('file'), { bigint: true });
    const found = calls?.inodeAt(folder, 'file');
    assert.deepEqual([found?.device, found?.inode, found?.lengthBytes], [stat.dev, stat.ino, 4n]);
    assert.deepEqual([found?.modifyTimeNs, found?.changeTimeNs], [stat.mtimeNs, stat.ctimeNs]);
    assert.ok(stat.mtimeNs < 0n);
  });

  it('are opened, but not through links, and closed', () => {
    for (const name of [...NAMES, ...NO_NAMES]) {
      const [here, there] = [calls, FILES_BY_NODE].map((files) =>
        outcome(() => {
          const fd = files?.open(folder, name) ?? -1;
          try {
            return files?.inodeOf(fd);
          } finally {
            files?.close(fd);
            assert.throws(() => fstatSync(fd), { code: 'EBADF' });
          }
        }),
      );
      assert.deepEqual(here, there, name);
    }
    assert.equal(
      outcome(() => calls?.open(folder, 'link')),
      'ELOOP',
    );
    assert.equal(
      outcome(() => calls?.close(-1)),
      'EBADF',
    );
  });
});
