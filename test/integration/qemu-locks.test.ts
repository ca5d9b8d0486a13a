/**
 * Who holds an image: asking for the locks of one file says what the table of all locks says, with
 * real holders.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { LockQuery } from '../../src/adapters/gates/lock-query.js';
import { RootedPaths } from '../../src/adapters/paths/paths.js';
import { QemuLocks } from '../../src/adapters/qemu/qemu-locks.js';
import { openRoots, type Root } from '../../src/adapters/paths/roots.js';
import { PathScope } from '../../src/domain/access/path-scope.js';
import { asAddress } from '../../src/domain/model/address.js';
import { installed, needs } from '../support/needs.js';
import { whileHeld, whileRun } from '../support/processes.js';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';
import type { FileRef } from '../../src/domain/ports/handles.js';

describe('locks of qemu', () => {
  const scratch = scratchFolder();
  let root: Root;
  let paths: RootedPaths;
  let query: LockQuery;
  before(async function load() {
    const loaded = LockQuery.load();
    needs(this, loaded !== undefined, 'koffi has no build for this host');
    query = loaded ?? assert.fail();
    const config = { path: scratch.path('.'), access: 'read-write', trusted: true, attributes: {} } as const;
    const roots = await openRoots([config], 5000);
    root = roots[0] ?? assert.fail();
    paths = new RootedPaths(roots, { closed: [], own: [] }, new PathScope());
    scratch.onEnd(() => root.handle.close());
    await writeFile(scratch.path('image'), Buffer.alloc(1024 * 1024));
  });

  /** By asking, and by the table. */
  const holds = async (file: FileRef) => {
    const both = await Promise.all([query, undefined].map((how) => new QemuLocks(how).holds([file])));
    return both.flat();
  };
  const holdsOnImage = async () => {
    const image = await paths.source(asAddress(scratch.path('image')));
    try {
      assert.notEqual(
        query.ask(image, () => 'asked'),
        undefined,
      );
      assert.deepEqual(await holds({ handle: root.handle, name: 'image' }), await holds(image));
      return await holds(image);
    } finally {
      await image.handle.close();
    }
  };

  let sockets = 0;
  const held = (options: readonly string[], work: () => Promise<void>) =>
    whileHeld(scratch.path('image'), scratch.path(`socket-${String(sockets++)}`), work, ['-f', 'raw', ...options]);

  it('nobody, a reader, a writer', async () => {
    assert.deepEqual(await holdsOnImage(), ['none', 'none']);
    await held([], async () => {
      assert.deepEqual(await holdsOnImage(), ['writer', 'writer']);
    });
    await held(['-r'], async () => {
      assert.deepEqual(await holdsOnImage(), ['reader', 'reader']);
    });
  });
  it('a writer behind a lock that is not of qemu', async function behind() {
    needs(this, installed('python3'), 'python3 makes the other lock');
    const lock = `import fcntl, sys; f = open(sys.argv[1], 'rb'); fcntl.lockf(f, fcntl.LOCK_SH); open(sys.argv[2], 'w'); sys.stdin.read()`;
    const words = ['python3', '-c', lock, scratch.path('image'), scratch.path('ready')];
    const beside = (work: () => Promise<void>) => whileRun(words, () => existsSync(scratch.path('ready')), work);
    // In this order: qemu opens nothing that others have locks on.
    await held([], () => beside(async () => assert.deepEqual(await holdsOnImage(), ['writer', 'writer'])));
    await rm(scratch.path('ready'));
    await beside(async () => assert.deepEqual(await holdsOnImage(), ['none', 'none']));
  });
  it('what is no regular file, or not there, is not opened', async () => {
    await sh('mkfifo', scratch.path('fifo'));
    for (const name of ['fifo', 'absent']) {
      assert.equal(
        query.ask({ handle: root.handle, name }, () => 'asked'),
        undefined,
      );
      assert.deepEqual(await holds({ handle: root.handle, name }), ['none', 'none']);
    }
  });
});
