/** Each bad input gets the status of the contract, with nothing created, changed or left. */
import assert from 'node:assert/strict';
import { link, mkdir, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { allOver } from '../../support/at-work.js';
import { suiteDaemon, Daemon } from '../../support/daemon.js';
import { isRoot, needs } from '../../support/needs.js';
import { whileHeld } from '../../support/processes.js';
import { copiedProgram } from '../../support/program.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

describe('bad input', () => {
  const scratch = scratchFolder();

  before(async () => {
    await mkdir(scratch.path('read-only'));
    await mkdir(scratch.path('daemon/images'), { recursive: true });
  });
  const daemon = suiteDaemon(scratch, () => ({
    roots: `[[roots]]\npath = "${scratch.path('daemon/images')}"\n[[roots]]\npath = "${scratch.path('read-only')}"\naccess = "read-only"\n`,
  }));
  const image = (name: string) => daemon.get().image(name);
  before(async () => {
    const images = scratch.path('daemon/images');
    await mkdir(join(images, 'folder'));
    await sh('mkfifo', join(images, 'fifo'));
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', join(images, 'base.qcow2'), '64M');
    await writeFile(join(images, 'disk.raw'), 'x'.repeat(1000));
    await link(join(images, 'disk.raw'), join(images, 'same.raw'));
    await writeFile(scratch.path('outside.raw'), 'secret');
    await symlink(scratch.path('outside.raw'), join(images, 'escape.raw'));
    await symlink('../..', join(images, 'up'));
    await symlink('loop-b', join(images, 'loop-a'));
    await symlink('loop-a', join(images, 'loop-b'));
    await writeFile(scratch.path('read-only/disk.raw'), 'y'.repeat(512));
  });

  /** Every name with size, time, inode and type; links as themselves. */
  const tree = () => sh('find', scratch.path('daemon/images'), '-mindepth', '1', '-printf', '%P %s %T@ %i %y\\n');

  const create = (request: Message): [string, Message] => [
    'CreateImage',
    { path: image('new'), format: 'raw', size: '1M', ...request },
  ];
  const convert = (request: Message): [string, Message] => [
    'ConvertImage',
    { source: image('disk.raw'), source_format: 'raw', target: image('new'), target_format: 'raw', ...request },
  ];
  const copy = (request: Message): [string, Message] => [
    'CopyImage',
    { source: image('disk.raw'), target: image('new'), ...request },
  ];
  const overlay = (request: Message): [string, Message] => [
    'CreateOverlay',
    { path: image('new'), backing_file: image('base.qcow2'), backing_format: 'qcow2', ...request },
  ];

  const cases: [string, () => [string, Message], keyof typeof status, string][] = [
    ['a relative path', () => create({ path: 'disk.raw' }), 'INVALID_ARGUMENT', 'INVALID_FIELD'],
    ['an empty path', () => create({ path: '' }), 'INVALID_ARGUMENT', 'INVALID_FIELD'],
    ['a path with ..', () => create({ path: `${image('folder')}/../new` }), 'INVALID_ARGUMENT', 'INVALID_FIELD'],
    ['a path with .', () => create({ path: `${image('folder')}/./new` }), 'INVALID_ARGUMENT', 'INVALID_FIELD'],
    ['a path with //', () => create({ path: `${image('folder')}//new` }), 'INVALID_ARGUMENT', 'INVALID_FIELD'],
    ['a trailing slash', () => create({ path: `${image('new')}/` }), 'INVALID_ARGUMENT', 'INVALID_FIELD'],
    ['a path with NUL', () => create({ path: `${image('new')}\0` }), 'INVALID_ARGUMENT', 'INVALID_FIELD'],
    ['a name of 256 bytes', () => create({ path: image('n'.repeat(256)) }), 'INVALID_ARGUMENT', 'INVALID_FIELD'],
    ['json: as a path', () => create({ path: 'json:{"driver":"nbd"}' }), 'INVALID_ARGUMENT', 'INVALID_FIELD'],
    ['nbd: as a source', () => copy({ source: 'nbd://localhost/x' }), 'INVALID_ARGUMENT', 'INVALID_FIELD'],
    ['rbd: without an image', () => copy({ source: 'rbd:pool' }), 'INVALID_ARGUMENT', 'INVALID_FIELD'],
    ['rbd: with a colon', () => copy({ source: 'rbd:pool/image:conf=x' }), 'INVALID_ARGUMENT', 'INVALID_FIELD'],
    ['a pool that is not configured', () => copy({ source: 'rbd:pool/image' }), 'NOT_FOUND', 'POOL_NOT_FOUND'],
    [
      'a path outside the roots',
      () => create({ path: scratch.path('new') }),
      'PERMISSION_DENIED',
      'PATH_OUTSIDE_ROOTS',
    ],
    [
      'a root whose name only begins the same',
      () => create({ path: scratch.path('daemon/images-other/new') }),
      'PERMISSION_DENIED',
      'PATH_OUTSIDE_ROOTS',
    ],
    [
      "the daemon's state",
      () => copy({ source: scratch.path('daemon/state/agent-id') }),
      'PERMISSION_DENIED',
      'PATH_OUTSIDE_ROOTS',
    ],
    [
      "an operation's private folder",
      () => create({ path: image('.hostler-x/part') }),
      'PERMISSION_DENIED',
      'PATH_OUTSIDE_ROOTS',
    ],
    ['a link out of the root', () => copy({ source: image('escape.raw') }), 'PERMISSION_DENIED', 'PATH_OUTSIDE_ROOTS'],
    [
      'a folder that is a link out of the root',
      () => create({ path: image('up/new') }),
      'PERMISSION_DENIED',
      'PATH_OUTSIDE_ROOTS',
    ],
    ['a loop of links', () => copy({ source: image('loop-a') }), 'NOT_FOUND', 'IMAGE_NOT_FOUND'],
    ['a folder as the source', () => copy({ source: image('folder') }), 'FAILED_PRECONDITION', 'NOT_A_FILE'],
    ['a FIFO as the source', () => copy({ source: image('fifo') }), 'FAILED_PRECONDITION', 'NOT_A_FILE'],
    [
      'a folder as the target',
      () => copy({ target: image('folder'), overwrite: true }),
      'FAILED_PRECONDITION',
      'NOT_A_FILE',
    ],
    ['a FIFO as the target', () => copy({ target: image('fifo') }), 'FAILED_PRECONDITION', 'NOT_A_FILE'],
    ['a folder to delete', () => ['DeleteImage', { path: image('folder') }], 'FAILED_PRECONDITION', 'NOT_A_FILE'],
    ['a missing source', () => copy({ source: image('missing') }), 'NOT_FOUND', 'IMAGE_NOT_FOUND'],
    ['a missing image to delete', () => ['DeleteImage', { path: image('missing') }], 'NOT_FOUND', 'IMAGE_NOT_FOUND'],
    ['an existing target', () => copy({ target: image('base.qcow2') }), 'ALREADY_EXISTS', 'TARGET_EXISTS'],
    ['a link as an existing target', () => copy({ target: image('escape.raw') }), 'ALREADY_EXISTS', 'TARGET_EXISTS'],
    [
      "a missing target's folder",
      () => copy({ target: image('nowhere/new') }),
      'FAILED_PRECONDITION',
      'PARENT_NOT_FOUND',
    ],
    [
      "a file as the target's folder",
      () => copy({ target: image('disk.raw/new') }),
      'FAILED_PRECONDITION',
      'PARENT_NOT_FOUND',
    ],
    ['size 10GB', () => create({ size: '10GB' }), 'INVALID_ARGUMENT', 'INVALID_FIELD'],
    ['a negative size', () => create({ size: '-1' }), 'INVALID_ARGUMENT', 'INVALID_FIELD'],
    ['an empty size', () => create({ size: '' }), 'INVALID_ARGUMENT', 'INVALID_FIELD'],
    ['no size', () => ['CreateImage', { path: image('new'), format: 'raw' }], 'INVALID_ARGUMENT', 'INVALID_FIELD'],
    ['a size over 2^63', () => create({ size: '9223372036854775808' }), 'INVALID_ARGUMENT', 'INVALID_FIELD'],
    [
      'virtual_size_bytes over 2^63',
      () => ['CreateImage', { path: image('new'), format: 'raw', virtual_size_bytes: '18446744073709551615' }],
      'INVALID_ARGUMENT',
      'INVALID_FIELD',
    ],
    ['an unknown format', () => create({ format: 'qcow9' }), 'INVALID_ARGUMENT', 'INVALID_FIELD'],
    ['no format', () => create({ format: '' }), 'INVALID_ARGUMENT', 'INVALID_FIELD'],
    ['no source format', () => convert({ source_format: '' }), 'INVALID_ARGUMENT', 'INVALID_FIELD'],
    ['compress with raw', () => convert({ compress: true }), 'INVALID_ARGUMENT', 'INVALID_FIELD'],
    ['luks without a passphrase', () => create({ format: 'luks' }), 'INVALID_ARGUMENT', 'INVALID_FIELD'],
    ['an overlay smaller than its base', () => overlay({ size: '32M' }), 'FAILED_PRECONDITION', 'BASE_LARGER'],
    [
      'a base declared in another format',
      () => overlay({ backing_format: 'vmdk' }),
      'FAILED_PRECONDITION',
      'FORMAT_MISMATCH',
    ],
    ['a raw disk declared qcow2', () => convert({ source_format: 'qcow2' }), 'FAILED_PRECONDITION', 'FORMAT_MISMATCH'],
    [
      'source and target the same',
      () => copy({ target: image('disk.raw'), overwrite: true }),
      'INVALID_ARGUMENT',
      'SAME_FILE',
    ],
    [
      'source and target the same by hard link',
      () => copy({ target: image('same.raw') }),
      'INVALID_ARGUMENT',
      'SAME_FILE',
    ],
    [
      'a target in a read-only root',
      () => copy({ target: scratch.path('read-only/new') }),
      'PERMISSION_DENIED',
      'ROOT_READ_ONLY',
    ],
    [
      'a delete in a read-only root',
      () => ['DeleteImage', { path: scratch.path('read-only/disk.raw') }],
      'PERMISSION_DENIED',
      'ROOT_READ_ONLY',
    ],
    [
      'an unknown owner',
      () => create({ attributes: { owner: 'nobody-has-this-name' } }),
      'INVALID_ARGUMENT',
      'INVALID_FIELD',
    ],
    [
      'an owner with a newline',
      () => create({ attributes: { owner: 'root\nx' } }),
      'INVALID_ARGUMENT',
      'INVALID_FIELD',
    ],
    [
      'a missing snapshot',
      () => [
        'ExtractSnapshot',
        {
          path: image('base.qcow2'),
          source_format: 'qcow2',
          target: image('new'),
          target_format: 'raw',
          snapshot: 'none',
        },
      ],
      'NOT_FOUND',
      'SNAPSHOT_NOT_FOUND',
    ],
    [
      'a far host that nobody knows',
      () => copy({ remote: { host: 'elsewhere.invalid' } }),
      'UNAVAILABLE',
      'REMOTE_UNREACHABLE',
    ],
  ];

  for (const [title, request, code, reason] of cases) {
    it(`${title}: ${code} ${reason}`, async () => {
      const before = await tree();
      const error = await failure(daemon.get().stranger.all(...prefix(request())));
      assert.equal(error.reason, reason, error.message);
      assert.equal(error.code, status[code]);
      assert.equal(await tree(), before);
    });
  }

  function prefix([rpc, request]: [string, Message]): [string, Message] {
    return [`ImageService/${rpc}`, request];
  }

  it('reports all wrong fields at once', async () => {
    const error = await failure(
      daemon.get().stranger.all('ImageService/CreateImage', { path: 'x', format: 'y', size: 'z' }),
    );
    assert.deepEqual([...error.fields].sort(), ['format', 'path', 'size']);
  });

  it('GetImageInfo of the chain without a format is refused', async () => {
    const error = await failure(
      daemon.get().stranger.unary('ImageService/GetImageInfo', { path: image('base.qcow2'), backing_chain: true }),
    );
    assert.deepEqual(error.fields, ['format']);
  });

  it('a source that qemu holds is IMAGE_IN_USE, unless the caller allows it', async () => {
    const path = image('held.qcow2');
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', path, '8M');
    await whileHeld(path, scratch.path('nbd.sock'), async () => {
      const { stranger } = daemon.get();
      const info = (await stranger.unary('ImageService/GetImageInfo', { path, format: 'qcow2' }))['info'] as Message;
      assert.equal(info['in_use'], true);
      for (const [rpc, request] of [
        copy({ source: path }),
        convert({ source: path, source_format: 'qcow2' }),
        copy({ target: path, overwrite: true }),
        ['DeleteImage', { path }] as const,
      ]) {
        const error = await failure(stranger.all(`ImageService/${rpc}`, request));
        assert.equal(error.reason, 'IMAGE_IN_USE', rpc);
      }
      const [, allowed] = convert({ source: path, source_format: 'qcow2', allow_in_use: true });
      await stranger.operation('ImageService/ConvertImage', allowed);
      await stranger.operation('ImageService/DeleteImage', { path: image('new') });
    });
  });

  it('a deadline of 1 ms leaves nothing', async () => {
    await truncate(image('disk.raw'), 1000);
    const error = await failure(daemon.get().stranger.all(...prefix(copy({})), { deadline: Date.now() + 1 }));
    assert.equal(error.code, status.DEADLINE_EXCEEDED);
    await allOver(daemon.get().stranger);
    assert.deepEqual(await daemon.get().leftovers(), []);
    await daemon.get().stranger.operation('ImageService/DeleteImage', { path: image('new'), missing_ok: true });
  });

  it('a source that the daemon may not read is ACCESS_DENIED', async function () {
    needs(this, isRoot, 'needs root to run the daemon as another user');
    const folder = scratch.path('other');
    await mkdir(join(folder, 'images'), { recursive: true });
    await sh('chmod', '711', scratch.path());
    await sh('chown', '-R', '65534:65534', folder);
    const other = await Daemon.start(folder, { uid: 65534, program: await copiedProgram(scratch.path('program')) });
    try {
      await writeFile(other.image('secret.raw'), 'x', { mode: 0o600 });
      const error = await failure(
        other.stranger.all('ImageService/CopyImage', { source: other.image('secret.raw'), target: other.image('new') }),
      );
      assert.equal(error.code, status.PERMISSION_DENIED);
      assert.equal(error.reason, 'ACCESS_DENIED');
      assert.deepEqual(await other.leftovers(), []);
      await other.stranger.operation('ImageService/CreateImage', {
        path: other.image('own.qcow2'),
        format: 'qcow2',
        size: '1M',
      });
    } finally {
      await other.stop();
    }
  });
});
