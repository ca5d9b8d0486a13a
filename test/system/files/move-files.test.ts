/** MoveFile on real files and folders. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import { link, lstat, mkdir, open, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { Daemon, suiteDaemon } from '../../support/daemon.js';
import { isRoot, needs } from '../../support/needs.js';
import { whileHeld } from '../../support/processes.js';
import { fakeTools, onlyTools } from '../../support/reasons/tools.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

/** Of a qcow2 header: the last byte of its incompatible features, and the bit of a corrupt image. */
const [INCOMPATIBLE_END, CORRUPT] = [79, 2];

const PLAN = { plan_only: true };

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
    const result = await daemon.get().stranger.operation('FileService/MoveFile', { source: from, target: to, ...more });
    return result['file_move'] as Message;
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
      for (const name of ['used/disk', 'used'])
        for (const more of [{}, PLAN]) assert.equal(await reason(at(name), at('x'), more), 'IMAGE_IN_USE', name);
    });
  });

  it('no image that others name as their base', async () => {
    await mkdir(at('bases'));
    await image(at('bases/base'));
    for (const name of [at('bases/base'), 'bases/base']) {
      await overlay(at('on-it'), name);
      for (const from of ['bases/base', 'bases'])
        for (const more of [{}, PLAN])
          assert.equal(await reason(at(from), at('moved'), more), 'IMAGE_HAS_DEPENDANTS', `${from} ${name}`);
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

  describe('with rewrite_backing_files', () => {
    const rewrites = { rewrite_backing_files: true };
    const base = async (path: string) => {
      const { 'backing-filename': name } = JSON.parse(await sh('qemu-img', 'info', '--output=json', path)) as Message;
      return name;
    };
    const chain = (path: string) => sh('qemu-img', 'check', path).then(() => sh('qemu-img', 'map', path));

    it('a base, and the overlays get its new name, however they named it', async () => {
      await mkdir(at('r1/elsewhere'), { recursive: true });
      await image(at('r1/base'));
      await symlink(at('r1'), at('r1-alias'));
      await symlink('base', at('r1/link'));
      const names = [at('r1/base'), 'base', at('r1-alias/base'), at('r1/link')];
      for (const [n, name] of names.entries()) await overlay(at(`r1/overlay-${String(n)}`), name);
      await link(at('r1/base'), at('r1/second'));
      await overlay(at('r1/on-second'), at('r1/second'));
      assert.equal(await reason(at('r1/base'), at('r1/elsewhere/new')), 'IMAGE_HAS_DEPENDANTS');
      const plan = { source: at('r1/base'), target: at('r1/elsewhere/new'), ...rewrites, ...PLAN };
      const planned = await daemon.get().stranger.operation('FileService/MoveFile', plan);
      assert.match(JSON.stringify(planned), /first in the headers that need it/);
      const moved = await move(at('r1/base'), at('r1/elsewhere/new'), rewrites);
      assert.deepEqual(moved, { path: at('r1/elsewhere/new'), rewritten_items: names.length });
      for (const n of names.keys()) {
        assert.equal(await base(at(`r1/overlay-${String(n)}`)), at('r1/elsewhere/new'));
        await chain(at(`r1/overlay-${String(n)}`));
      }
      assert.equal(await base(at('r1/on-second')), at('r1/second'));
      assert.ok((await lstat(at('r1/elsewhere/new'))).isFile());
      assert.ok(!existsSync(at('r1/base')));
      assert.deepEqual(await daemon.get().leftovers(), []);
      const { findings = [] } = await daemon
        .get()
        .stranger.unary('ImageService/GetImageInfo', { path: at('r1/overlay-0'), format: 'qcow2' });
      assert.deepEqual(findings, []);
    });

    it('a folder, with images in it and elsewhere that name images in it, or leave theirs', async () => {
      await mkdir(at('r2/tree/deep'), { recursive: true });
      await mkdir(at('r2/target'));
      await image(at('r2/tree/deep/base'));
      await image(at('r2/beside'));
      await overlay(at('r2/outside'), 'tree/deep/base');
      await overlay(at('r2/tree/inside'), at('r2/tree/deep/base'));
      await overlay(at('r2/tree/relative'), 'deep/base');
      await overlay(at('r2/tree/leaving'), '../beside');
      const { rewritten_items: count } = await move(at('r2/tree'), at('r2/target/tree'), rewrites);
      assert.equal(count, 3);
      const expected = {
        outside: at('r2/target/tree/deep/base'),
        'target/tree/inside': at('r2/target/tree/deep/base'),
        'target/tree/relative': 'deep/base',
        'target/tree/leaving': at('r2/beside'),
      };
      for (const [name, named] of Object.entries(expected)) {
        assert.equal(await base(at(`r2/${name}`)), named, name);
        await chain(at(`r2/${name}`));
      }
      assert.ok((await lstat(at('r2/target/tree'))).isDirectory());
      assert.ok(!existsSync(at('r2/tree')));
    });

    it('nothing, where an image that names it cannot be rewritten: all is as it was', async () => {
      await mkdir(at('r3'));
      await image(at('r3/base'));
      await overlay(at('r3/good'), at('r3/base'));
      const refused = async (why: string) => {
        assert.equal(await reason(at('r3/base'), at('r3/new'), rewrites), why);
        assert.equal(await base(at('r3/good')), at('r3/base'));
        assert.ok(existsSync(at('r3/base')) && !existsSync(at('r3/new')));
      };
      await overlay(at('r3/used'), at('r3/base'));
      await whileHeld(at('r3/used'), scratch.path('used.sock'), () => refused('IMAGE_IN_USE'));
      await rm(at('r3/used'));
      // Its header names a file with its data, too.
      const external = ['-o', `data_file=${at('r3/data')}`];
      await sh(
        'qemu-img',
        'create',
        '-q',
        '-u',
        '-f',
        'qcow2',
        ...external,
        '-b',
        at('r3/base'),
        '-F',
        'qcow2',
        at('r3/x'),
        '1M',
      );
      await refused('IMAGE_HAS_DEPENDANTS');
      await rm(at('r3/x'));
      // Marked as corrupt: qemu opens it for reading only.
      await overlay(at('r3/corrupt'), at('r3/base'));
      const header = await open(at('r3/corrupt'), 'r+');
      await header.write(Buffer.from([CORRUPT]), 0, 1, INCOMPATIBLE_END);
      await header.close();
      await refused('IMAGE_HAS_DEPENDANTS');
      await rm(at('r3/corrupt'));
      // A qed cannot say that its base is a qcow2.
      await sh('qemu-img', 'create', '-q', '-u', '-f', 'qed', '-b', at('r3/base'), '-F', 'qcow2', at('r3/qed'), '1M');
      await refused('IMAGE_HAS_DEPENDANTS');
      await rm(at('r3/qed'));
      await writeFile(at('r3/new'), 'x');
      assert.equal(await reason(at('r3/base'), at('r3/new'), rewrites), 'TARGET_EXISTS');
      assert.equal(await reason(at('r3/base'), at('r3/new'), { ...rewrites, overwrite: true }), 'INVALID_FIELD');
      await rm(at('r3/new'));
      await symlink('/etc/passwd', at('r3/new'));
      assert.equal(await reason(at('r3/base'), at('r3/new'), rewrites), 'TARGET_EXISTS');
      await rm(at('r3/new'));
      await move(at('r3/base'), at('r3/new'), rewrites);
      assert.equal(await base(at('r3/good')), at('r3/new'));
    });

    it('completes what an attempt before has left: a link, and headers with either name', async () => {
      await mkdir(at('r4'));
      await image(at('r4/base'));
      await symlink(at('r4/base'), at('r4/new'));
      await overlay(at('r4/one'), at('r4/new'));
      await overlay(at('r4/two'), at('r4/base'));
      await move(at('r4/base'), at('r4/new'), rewrites);
      for (const name of ['one', 'two']) assert.equal(await base(at(`r4/${name}`)), at('r4/new'));
      assert.ok((await lstat(at('r4/new'))).isFile());
    });

    it('undoes what was written when a tool fails', async () => {
      // The new name never gets into `two`.
      const body = [
        'case "$*" in */new*) for fd in /proc/$$/fd/*; do',
        '  case "$(readlink $fd)" in */two) echo "it failed" >&2; exit 1;; esac',
        'done;; esac',
        `exec ${(await sh('which', 'qemu-img')).trim()} "$@"`,
      ];
      const PATH = await fakeTools(scratch.path('tools'), { 'qemu-img': body.join('\n') });
      const toml = '[sandbox]\nmode = "off"\n';
      const other = await Daemon.start(scratch.path('failing'), { env: { PATH }, toml });
      try {
        await image(other.image('base'));
        for (const name of ['one', 'two', 'three']) await overlay(other.image(name), other.image('base'));
        const request = { source: other.image('base'), target: other.image('new'), ...rewrites };
        const error = await failure(other.stranger.operation('FileService/MoveFile', request));
        assert.equal(error.reason, 'TOOL_FAILED', error.message);
        for (const name of ['one', 'two', 'three']) assert.equal(await base(other.image(name)), other.image('base'));
        assert.ok(existsSync(other.image('base')) && !existsSync(other.image('new')));
        assert.deepEqual(await other.leftovers(), []);
      } finally {
        await other.stop();
      }
    });

    it('MoveFile: TOOL_MISSING', async () => {
      const PATH = await onlyTools(scratch.path('bare'));
      const other = await Daemon.start(scratch.path('toolless'), { env: { PATH }, toml: '[sandbox]\nmode = "off"\n' });
      try {
        await image(other.image('base'));
        await overlay(other.image('one'), other.image('base'));
        const request = { source: other.image('base'), target: other.image('new'), ...rewrites };
        const error = await failure(other.stranger.operation('FileService/MoveFile', request));
        assert.equal(error.reason, 'TOOL_MISSING', error.message);
        assert.ok(!existsSync(other.image('new')));
      } finally {
        await other.stop();
      }
    });
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
