/** MoveFile on real files and folders. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import { link, lstat, mkdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { suiteDaemon } from '../../support/daemon.js';
import { isRoot, needs } from '../../support/needs.js';
import { whileHeld } from '../../support/processes.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

describe('MoveFile', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, () => {
    for (const folder of ['drop', 'daemon/images/around/root']) mkdirSync(scratch.path(folder), { recursive: true });
    const roots = [
      `[[roots]]\npath = "${scratch.path('daemon/images')}"`,
      `[[roots]]\npath = "${scratch.path('drop')}"\ntrusted = false`,
      `[[roots]]\npath = "${scratch.path('daemon/images/around/root')}"\n`,
    ];
    return { roots: roots.join('\n') };
  });
  const at = (name: string) => daemon.get().image(name);
  const move = async (from: string, to: string, more: Message = {}) => {
    const result = await daemon.get().stranger.operation('FileService/MoveFile', { from, to, ...more });
    return result['move'] as Message;
  };
  const reason = async (from: string, to: string, more: Message = {}) => (await failure(move(from, to, more))).reason;
  const overlay = (path: string, base: string) =>
    sh('qemu-img', 'create', '-q', '-u', '-f', 'qcow2', '-b', base, '-F', 'qcow2', path, '1M');
  const image = (path: string) => sh('qemu-img', 'create', '-q', '-f', 'qcow2', path, '1M');

  it('files, links and folders, which stay what they were', async () => {
    await mkdir(at('here/below'), { recursive: true });
    await mkdir(at('there'));
    await writeFile(at('here/file'), 'one', { mode: 0o604 });
    await symlink('file', at('here/link'));
    const { ino } = await lstat(at('here/file'));
    assert.deepEqual(await move(at('here/file'), at('there/file')), { path: at('there/file') });
    const moved = await lstat(at('there/file'));
    assert.deepEqual([moved.ino, moved.mode & 0o777], [ino, 0o604]);
    await move(at('here/link'), at('there/link'));
    assert.equal(await readlink(at('there/link')), 'file');
    await move(at('here'), at('there/folder'));
    assert.ok(existsSync(at('there/folder/below')) && !existsSync(at('here')));
  });

  it('replaces a file only when asked to, and a folder never', async () => {
    await writeFile(at('new'), 'new');
    await writeFile(at('old'), 'old');
    await mkdir(at('empty'));
    await mkdir(at('other'));
    assert.equal(await reason(at('new'), at('old')), 'TARGET_EXISTS');
    for (const more of [{}, { overwrite: true }]) {
      assert.equal(await reason(at('new'), at('empty'), more), 'NOT_A_FILE');
      assert.equal(await reason(at('other'), at('empty'), more), 'NOT_A_FILE');
      assert.equal(await reason(at('empty'), at('old'), more), 'TARGET_EXISTS');
    }
    assert.equal((await move(at('new'), at('old'), { overwrite: true }))['replaced'], true);
    assert.equal(await readFile(at('old'), 'utf8'), 'new');
    await link(at('old'), at('second'));
    assert.equal(await reason(at('old'), at('second'), { overwrite: true }), 'SAME_FILE');
    assert.equal(await reason(at('old'), at('old'), { overwrite: true }), 'SAME_FILE');
    assert.ok(existsSync(at('old')) && existsSync(at('second')));
  });

  it('neither into itself, nor a root, nor out of the roots', async () => {
    await mkdir(at('self/below'), { recursive: true });
    await symlink('self', at('to-self'));
    assert.equal(await reason(at('self'), at('self/below/x')), 'INVALID_FIELD');
    assert.equal(await reason(at('self'), at('to-self/x')), 'INVALID_FIELD');
    for (const from of [scratch.path('daemon/images'), at('around'), at('around/root')])
      assert.equal(await reason(from, scratch.path('drop/x')), 'DIRECTORY_RESERVED', from);
    assert.equal(await reason(at('self'), '/etc/x'), 'PATH_OUTSIDE_ROOTS');
    assert.equal(await reason('/etc/passwd', at('x')), 'PATH_OUTSIDE_ROOTS');
    assert.equal(await reason(at('absent'), at('x')), 'FILE_NOT_FOUND');
    assert.equal(await reason(at('self'), at('absent/x')), 'PARENT_NOT_FOUND');
    assert.ok(existsSync(at('self/below')));
  });

  it('nothing from an untrusted root into a trusted one', async () => {
    await image(scratch.path('drop/image'));
    await mkdir(scratch.path('drop/folder'));
    for (const name of ['image', 'folder'])
      assert.equal(await reason(scratch.path('drop', name), at('taken')), 'IMAGE_UNSAFE', name);
    await move(scratch.path('drop/image'), scratch.path('drop/folder/image'));
  });

  it('no image that qemu holds', async () => {
    await mkdir(at('used'));
    await image(at('used/disk'));
    await whileHeld(at('used/disk'), scratch.path('nbd.sock'), async () => {
      for (const name of ['used/disk', 'used']) assert.equal(await reason(at(name), at('x')), 'IMAGE_IN_USE', name);
    });
  });

  it('no image that others name as their base', async () => {
    await mkdir(at('bases'));
    await image(at('bases/base'));
    for (const name of [at('bases/base'), 'bases/base']) {
      await overlay(at('on-it'), name);
      for (const from of ['bases/base', 'bases'])
        assert.equal(await reason(at(from), at('moved')), 'IMAGE_HAS_DEPENDANTS', `${from} ${name}`);
    }
    await rm(at('on-it'));
    // By another name of the file it is found as before.
    await link(at('bases/base'), at('second-name'));
    await overlay(at('on-it'), at('second-name'));
    await move(at('bases/base'), at('bases/renamed'));
    await rm(at('on-it'));
    // In a folder that moves: by its old name it would not be found, relative to the image it is.
    await overlay(at('bases/inside'), at('bases/renamed'));
    assert.equal(await reason(at('bases'), at('moved')), 'IMAGE_HAS_DEPENDANTS');
    await overlay(at('bases/inside'), 'renamed');
    await move(at('bases'), at('moved'));
    assert.match(await sh('qemu-img', 'info', '--backing-chain', at('moved/inside')), /moved\/renamed/);
  });

  it('no image that names its base relative to its folder, unless it stays in that', async () => {
    await mkdir(at('relative/deep'), { recursive: true });
    await mkdir(at('target'));
    await image(at('relative/base'));
    await overlay(at('relative/disk'), 'base');
    await overlay(at('relative/deep/disk'), '../base');
    assert.equal(await reason(at('relative/disk'), at('target/disk')), 'BASE_NAMED_RELATIVELY');
    assert.equal(await reason(at('relative/deep'), at('target/deep')), 'BASE_NAMED_RELATIVELY');
    await move(at('relative/disk'), at('relative/disk-2'));
    await move(at('relative/deep'), at('relative/deep-2'));
    await move(at('relative'), at('target/relative'));
    for (const name of ['disk-2', 'deep-2/disk']) {
      const path = at(`target/relative/${name}`);
      assert.match(await sh('qemu-img', 'info', '--backing-chain', path), /relative\/(deep-2\/\.\.\/)?base/);
    }
  });

  it('only on one filesystem, and without mounts in it', async function () {
    needs(this, isRoot, 'only root mounts');
    await mkdir(at('mounts/point'), { recursive: true });
    await writeFile(at('file'), 'x');
    for (const words of [
      ['-t', 'tmpfs', 'none'],
      ['--bind', at('mounts')],
    ]) {
      await sh('mount', ...words, at('mounts/point'));
      try {
        assert.equal(await reason(at('mounts'), at('moved-mounts')), 'OTHER_FILESYSTEM');
        assert.equal(await reason(at('file'), at('mounts/point/file')), 'OTHER_FILESYSTEM');
      } finally {
        await sh('umount', at('mounts/point'));
      }
    }
    assert.equal(await readFile(at('file'), 'utf8'), 'x');
  });
});
