/**
 * Images that others are backed by are not changed under them: found wherever those lie, and
 * however they were made.
 */
import assert from 'node:assert/strict';
import { copyFile, mkdir, symlink, writeFile } from 'node:fs/promises';
import { mkdirSync } from 'node:fs';
import { Daemon, type DaemonOptions } from '../../support/daemon.js';
import { makeChain } from '../../support/images/chains.js';
import { alive, whileHeld } from '../../support/processes.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type CallError, type Message } from '../../support/stranger.js';

describe('dependants', () => {
  const scratch = scratchFolder();
  let daemon: Daemon;
  const options = (): DaemonOptions => {
    const root = (name: string) => `[[roots]]\npath = "${scratch.path('daemon', name)}"\n`;
    return { roots: `${root('images')}${root('second')}` };
  };
  before(async () => {
    for (const name of ['images/below', 'second']) mkdirSync(scratch.path('daemon', name), { recursive: true });
    daemon = await Daemon.start(scratch.path('daemon'), options());
    scratch.onEnd(() => daemon.stop());
  });
  const at = (name: string) => daemon.image(name);
  const overlay = (path: string, base: string) =>
    sh('qemu-img', 'create', '-q', '-u', '-f', 'qcow2', '-F', 'qcow2', '-b', base, path, '64M');
  const refused = (path: string): Promise<CallError> =>
    failure(daemon.stranger.operation('ImageService/DeleteImage', { path }));
  const assertFound = async (base: string, dependant: string) => {
    const error = await refused(base);
    assert.equal(error.reason, 'IMAGE_HAS_DEPENDANTS', error.message);
    assert.equal(error.metadata['dependants'], dependant);
  };

  it('in the same folder, in another root, by a relative name, through a link', async () => {
    const places: [string, string, string][] = [
      ['same.qcow2', at('over-same.qcow2'), at('same.qcow2')],
      ['other.qcow2', scratch.path('daemon/second/over.qcow2'), at('other.qcow2')],
      ['relative.qcow2', at('below/over-relative.qcow2'), '../relative.qcow2'],
      ['linked.qcow2', at('over-linked.qcow2'), at('link.qcow2')],
    ];
    await symlink('linked.qcow2', at('link.qcow2'));
    for (const [base, path, stored] of places) {
      await makeChain([at(base)]);
      await overlay(path, stored);
      await assertFound(at(base), path);
    }
  });

  it('made by us a moment ago, rebased away, removed', async () => {
    await makeChain([at('fresh.qcow2'), at('elsewhere.qcow2')]);
    const base = { backing_file: at('fresh.qcow2'), backing_format: 'qcow2' };
    for (const name of ['one', 'two'])
      await daemon.stranger.operation('ImageService/CreateOverlay', { path: at(name), ...base });
    const error = await refused(at('fresh.qcow2'));
    assert.equal(error.metadata['count'], '3');
    await sh('qemu-img', 'rebase', '-u', '-f', 'qcow2', '-b', '', at('elsewhere.qcow2'));
    await daemon.stranger.operation('ImageService/RebaseImage', { path: at('one'), format: 'qcow2' });
    await assertFound(at('fresh.qcow2'), at('two'));
    await daemon.stranger.operation('ImageService/DeleteImage', { path: at('two') });
    await daemon.stranger.operation('ImageService/DeleteImage', { path: at('fresh.qcow2') });
  });

  it('made by hand while the daemon was down', async () => {
    await makeChain([at('night.qcow2')]);
    await daemon.stop();
    await overlay(at('below/made-at-night.qcow2'), '../night.qcow2');
    daemon = await Daemon.start(scratch.path('daemon'), options());
    await assertFound(at('night.qcow2'), at('below/made-at-night.qcow2'));
  });

  it('commit, shrink, wipe, delete and every overwrite ask; allow_dependants answers', async () => {
    const [base, middle, over] = [at('b.qcow2'), at('m.qcow2'), at('o.qcow2')];
    await makeChain([base, middle, over]);
    await copyFile(over, at('sibling.qcow2'));
    await writeFile(at('source.raw'), Buffer.alloc(1 << 20));
    const image = { path: middle, format: 'qcow2' };
    const calls: [string, Message][] = [
      ['ImageService/CommitImage', { path: over, format: 'qcow2' }],
      ['ImageService/ResizeImage', { ...image, size: '32M', allow_shrink: true }],
      ['ImageService/WipeImage', { path: middle, mode: 'WIPE_MODE_DISCARD' }],
      ['ImageService/DeleteImage', { path: middle }],
      ['ImageService/CreateImage', { ...image, size: '1M', overwrite: true }],
      [
        'ImageService/ConvertImage',
        {
          source: at('source.raw'),
          source_format: 'raw',
          target: middle,
          target_format: 'qcow2',
          overwrite: true,
        },
      ],
      ['ImageService/CopyImage', { source: at('source.raw'), target: middle, overwrite: true }],
    ];
    for (const [rpc, request] of calls)
      assert.equal((await failure(daemon.stranger.operation(rpc, request))).reason, 'IMAGE_HAS_DEPENDANTS', rpc);
    const remove = daemon.stranger.unary('FileService/DeleteFile', { path: middle });
    assert.equal((await failure(remove)).reason, 'IMAGE_HAS_DEPENDANTS');
    const write = daemon.stranger.send('FileService/WriteFile', [{ header: { path: middle } }]);
    assert.equal((await failure(write)).reason, 'IMAGE_HAS_DEPENDANTS');
    // Growing harms nobody.
    await daemon.stranger.operation('ImageService/ResizeImage', { ...image, size: '128M' });
    for (const [rpc, request] of calls.slice(0, 1))
      await daemon.stranger.operation(rpc, { ...request, allow_dependants: true });
    await daemon.stranger.operation('ImageService/DeleteImage', { path: middle, allow_dependants: true });
    assert.match(daemon.log, /"allowed":\["allowDependants"\]/);
  });

  it('in a tree with much else, and after many changes', async () => {
    await mkdir(at('many'));
    await makeChain([at('many/base.qcow2')]);
    await sh(
      'bash',
      '-c',
      'cd "$1" && seq 3000 | xargs touch && mkdir -p a/b/c && seq -f a/b/c/%g 2000 | xargs touch',
      'x',
      at('many'),
    );
    for (const name of ['x', 'y', 'z']) {
      await overlay(at(`many/a/b/c/${name}.qcow2`), at('many/base.qcow2'));
      assert.equal((await refused(at('many/base.qcow2'))).reason, 'IMAGE_HAS_DEPENDANTS');
    }
    assert.equal((await refused(at('many/base.qcow2'))).metadata['count'], '3');
    await daemon.stranger.operation('ImageService/DeleteImage', { path: at('many/1') });
  });

  it('IMAGE_IN_USE names the process that holds it', async () => {
    await makeChain([at('held.qcow2')]);
    await whileHeld(at('held.qcow2'), scratch.path('nbd.sock'), async () => {
      for (const [rpc, request] of [
        ['DeleteImage', { path: at('held.qcow2') }],
        ['ResizeImage', { path: at('held.qcow2'), format: 'qcow2', size: '1G' }],
        ['WipeImage', { path: at('held.qcow2'), mode: 'WIPE_MODE_ZERO' }],
        ['CreateSnapshot', { path: at('held.qcow2'), format: 'qcow2', snapshot: 's' }],
        ['CheckImage', { path: at('held.qcow2'), format: 'qcow2', repair: 'REPAIR_MODE_ALL' }],
      ] as const) {
        const error = await failure(daemon.stranger.operation(`ImageService/${rpc}`, request));
        assert.equal(error.reason, 'IMAGE_IN_USE', rpc);
        assert.ok(alive(Number(error.metadata['pid'])));
      }
    });
  });
});
