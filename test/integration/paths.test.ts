/** Paths by handles: nothing that is moved or replaced meanwhile leads out of a root. */
import { PathScope } from '../../src/domain/access/path-scope.js';
import assert from 'node:assert/strict';
import { link, mkdir, readFile, readdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { existsSync, readdirSync } from 'node:fs';
import { asAddress } from '../../src/domain/model/address.js';
import { FileTargets } from '../../src/adapters/files/file-targets.js';
import { LocalFiles } from '../../src/adapters/files/files.js';
import { FolderSync } from '../../src/adapters/files/folder-sync.js';
import { Owners } from '../../src/adapters/files/owners.js';
import { RootedPaths } from '../../src/adapters/paths/paths.js';
import { MemoryFolders } from '../../src/adapters/process/memory-folders.js';
import { ProcessRunner } from '../../src/adapters/process/process.js';
import { QemuLocks } from '../../src/adapters/qemu/qemu-locks.js';
import { openRoots, type Root } from '../../src/adapters/paths/roots.js';
import { NO_SWEEP_LOG } from '../support/engine.js';
import { scratchFolder } from '../support/scratch.js';

describe('RootedPaths and FileTargets', () => {
  const scratch = scratchFolder();
  let roots: Root[] = [];
  let paths: RootedPaths;
  let targets: FileTargets;
  const at = (...names: string[]) => asAddress(scratch.path('root', ...names));

  before(async () => {
    for (const name of ['root', 'root/a', 'root/a/b', 'root/inner', 'root/state', 'outside'])
      await mkdir(scratch.path(name));
    await writeFile(scratch.path('root/a/b/file'), 'inside');
    await writeFile(scratch.path('outside/file'), 'outside');
    await symlink(scratch.path('root'), scratch.path('alias'));
    const configs = [
      { path: scratch.path('alias'), access: 'read-write', trusted: true, attributes: { mode: 0o644 } },
      { path: scratch.path('root/inner'), access: 'read-only', trusted: true, attributes: {} },
    ] as const;
    roots = await openRoots(configs, 5000);
    paths = new RootedPaths(roots, { closed: [scratch.path('root/state')], own: [] }, new PathScope());
    const runner = new ProcessRunner({
      killGraceMs: 200,
      searchPath: '/usr/bin:/bin',
      folders: new MemoryFolders('hostler-test'),
      log: { child: () => undefined, abandoned: () => undefined },
    });
    targets = new FileTargets({
      agentId: 'test',
      roots,
      runner,
      owners: new Owners(runner),
      imageLocks: new QemuLocks(),
      folderSync: new FolderSync(),
      sweepLog: NO_SWEEP_LOG,
    });
    scratch.onEnd(() => Promise.all(roots.map(({ handle }) => handle.close())));
  });

  const read = async (path: string) => {
    const file = await paths.source(asAddress(path));
    try {
      return await new LocalFiles().withBytes(file, (bytes) => bytes.read(0n, 100)).then(String);
    } finally {
      await file.handle.close();
    }
  };
  const reason = async (work: Promise<unknown>) =>
    work.then(
      () => 'none',
      (error: unknown) => (error as { reason: string }).reason,
    );

  it('takes the configured and the real path of a root', async () => {
    assert.equal(await read(scratch.path('alias/a/b/file')), 'inside');
    assert.equal(await read(scratch.path('root/a/b/file')), 'inside');
  });

  const links: [string, string, string][] = [
    ['relative', 'a/b/file', 'inside'],
    ['absolute by the alias', 'ALIAS/a/b/file', 'inside'],
    ['absolute by the real path', 'ROOT/a/b/file', 'inside'],
    ['with .. that stay inside', 'a/../a/./b/file', 'inside'],
    ['out by ..', '../outside/file', 'PATH_OUTSIDE_ROOTS'],
    ['out by an absolute path', 'OUT/file', 'PATH_OUTSIDE_ROOTS'],
    ['out by /proc/self/root', '/proc/self/root/etc/passwd', 'PATH_OUTSIDE_ROOTS'],
    ['to the state folder', 'state/agent-id', 'PATH_OUTSIDE_ROOTS'],
    ['dangling', 'nothing', 'IMAGE_NOT_FOUND'],
  ];
  for (const [title, to, expected] of links) {
    it(`a link ${title}: ${expected}`, async () => {
      const target = to
        .replace('ALIAS', scratch.path('alias'))
        .replace('ROOT', scratch.path('root'))
        .replace('OUT', scratch.path('outside'));
      await rm(at('link'), { force: true });
      await symlink(target, at('link'));
      if (expected === 'inside') assert.equal(await read(at('link')), 'inside');
      else assert.equal(await reason(read(at('link'))), expected);
    });
  }

  it('a link into a read-only root inside the root has its rules', async () => {
    await symlink('inner', at('to-inner'));
    assert.equal(await reason(paths.target(at('to-inner', 'new'))), 'ROOT_READ_ONLY');
  });

  it('a handle names the file that was there, whatever happens to its path', async () => {
    const file = await paths.source(at('a', 'b', 'file'));
    await rename(at('a'), at('moved'));
    await symlink(scratch.path('outside'), at('a'));
    assert.equal(String(await new LocalFiles().withBytes(file, (bytes) => bytes.read(0n, 100))), 'inside');
    await file.handle.close();
    await rm(at('a'));
    await rename(at('moved'), at('a'));
  });

  async function part(name: string, overwrite = false) {
    const target = await paths.target(at('a', name));
    const made = await targets.prepare(target, { operationId: 'OP', overwrite, attributes: {} });
    await writeFile(`/proc/self/fd/${String(made.handle.fd)}/part`, 'made');
    return { target, made };
  }

  it('publishes into the folder that was resolved, though its path leads elsewhere now', async () => {
    const { target, made } = await part('new');
    await rename(at('a'), at('moved'));
    await symlink(scratch.path('outside'), at('a'));
    await made.seal();
    await made.publish();
    await made.discard();
    await target.directory.close();
    assert.deepEqual(await readdir(scratch.path('outside')), ['file']);
    assert.equal(await readFile(at('moved', 'new'), 'utf8'), 'made');
    assert.equal((await stat(at('moved', 'new'))).mode & 0o777, 0o644);
    await rm(at('a'));
    await rename(at('moved'), at('a'));
  });

  it('never replaces a file that appeared meanwhile', async () => {
    const { target, made } = await part('race');
    await writeFile(at('a', 'race'), 'first');
    await made.seal();
    assert.equal(await reason(made.publish()), 'TARGET_EXISTS');
    assert.equal((await made.discard()).length, 2);
    await target.directory.close();
    assert.equal(await readFile(at('a', 'race'), 'utf8'), 'first');
  });

  it('moves where hard links are missing, and sees when mv refused', async () => {
    for (const exists of [false, true]) {
      const name = `linkless-${String(exists)}`;
      const { target, made } = await part(name);
      if (exists) await writeFile(at('a', name), 'first');
      // The way that publish takes when link(2) is not supported.
      const move = Object.getPrototypeOf(made) as { move(this: typeof made): Promise<void> };
      assert.equal(await reason(move.move.call(made)), exists ? 'TARGET_EXISTS' : 'none');
      await made.discard();
      await target.directory.close();
      assert.equal(await readFile(at('a', name), 'utf8'), exists ? 'first' : 'made');
    }
  });

  it('overwriting replaces the name, not other names of the old file', async () => {
    await writeFile(at('a', 'old'), 'old');
    await link(at('a', 'old'), at('a', 'other-name'));
    const { target, made } = await part('old', true);
    await made.seal();
    await made.publish();
    await made.discard();
    await target.directory.close();
    assert.equal(await readFile(at('a', 'old'), 'utf8'), 'made');
    assert.equal(await readFile(at('a', 'other-name'), 'utf8'), 'old');
  });

  it('closes every descriptor, on every way out', async () => {
    const before = readdirSync('/proc/self/fd').length;
    for (const path of [
      at('a', 'b', 'file'),
      at('nope', 'x'),
      at('link'),
      at('a'),
      asAddress('/elsewhere'),
      at('state', 'x'),
    ]) {
      await paths.source(path).then(
        ({ handle }) => handle.close(),
        () => undefined,
      );
      await paths.target(path).then(
        ({ directory }) => directory.close(),
        () => undefined,
      );
    }
    assert.ok(readdirSync('/proc/self/fd').length <= before);
    assert.ok(!existsSync(at('.hostler-test-OP')));
  });
});
