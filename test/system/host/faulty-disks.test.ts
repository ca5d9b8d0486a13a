/**
 * What a disk answers that is full, gone, read-only, or cannot do something: each errno has a
 * planned answer.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Daemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { FaultFilesystem, type Fault } from '../../support/faults/fault-filesystem.js';
import { scratchFolder } from '../../support/scratch.js';
import { failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const EDQUOT = 122;
const EUCLEAN = 117;

describe('a disk with faults', () => {
  const scratch = scratchFolder();
  let daemon: Daemon;
  let disk: FaultFilesystem;
  const at = (name: string) => join(disk.path, name);
  const write = (name: string, header: Message = {}) =>
    daemon.stranger.send('FileService/WriteFile', [{ header: { path: at(name), ...header } }, { data: noise(99_999) }]);
  const create = (name: string, request: Message = {}) =>
    daemon.stranger.operation('ImageService/CreateImage', { path: at(name), format: 'qcow2', size: '1M', ...request });
  const digest = (name: string) =>
    daemon.stranger.operation('ImageService/DigestImage', { path: at(name), format: 'raw' });
  const warnings = async (name: string) => {
    const { operations } = (await daemon.stranger.unary('OperationService/ListOperations')) as {
      operations: { addresses: string[]; warnings?: { reason: string }[] }[];
    };
    return operations
      .filter(({ addresses }) => addresses.includes(at(name)))
      .map((operation) => operation.warnings?.map(({ reason }) => reason));
  };

  before(async function () {
    disk = await FaultFilesystem.mount(this, scratch, scratch.path('disk'));
    const folder = scratch.path('daemon');
    const roots = [`${folder}/images`, disk.path].map((path) => `[[roots]]\npath = "${path}"\n`).join('');
    daemon = await Daemon.start(folder, { roots });
    scratch.onEnd(() => daemon.stop());
    await writeFile(daemon.image('near.raw'), noise(99_999));
    await writeFile(join(disk.behind, 'there.raw'), noise(99_999));
  });

  afterEach(() => disk.heal());

  async function nothingLeft(before: readonly string[]): Promise<void> {
    await disk.heal();
    assert.deepEqual((await readdir(disk.behind)).sort(), [...before].sort());
  }

  const answers: [string, Fault, () => Promise<unknown>, string][] = [
    ['a full quota', { kinds: ['write'], errno: EDQUOT }, () => write('w1'), 'NO_SPACE'],
    ['a full quota, in qemu-img', { kinds: ['write'], errno: EDQUOT, times: 0 }, () => create('c1'), 'NO_SPACE'],
    ['a full disk', { kinds: ['write'], errno: 'ENOSPC' }, () => write('w2'), 'NO_SPACE'],
    ['a stale handle', { kinds: ['read'], errno: 'ESTALE', times: 0 }, () => digest('there.raw'), 'ROOT_UNAVAILABLE'],
    ['a host that is down', { kinds: ['open'], errno: 112, times: 0 }, () => digest('there.raw'), 'ROOT_UNAVAILABLE'],
    ['a damaged structure', { kinds: ['mkdir'], errno: EUCLEAN }, () => create('c2'), 'IO_ERROR'],
    ['a disk that became read-only', { kinds: ['mkdir'], errno: 'EROFS' }, () => create('c3'), 'ROOT_READ_ONLY'],
    [
      'the same, in qemu-img',
      { kinds: ['create', 'write', 'truncate'], errno: 'EROFS', times: 0 },
      () => create('c4', { preallocation: 'metadata' }),
      'ROOT_READ_ONLY',
    ],
    ['no descriptors', { kinds: ['mkdir'], errno: 'ENFILE' }, () => create('c5'), 'HOST_EXHAUSTED'],
    ['no memory', { kinds: ['fsync'], errno: 'ENOMEM' }, () => create('c6'), 'HOST_EXHAUSTED'],
    ['a busy name', { kinds: ['rename'], errno: 'EBUSY' }, () => write('there.raw'), 'IMAGE_IN_USE'],
  ];
  for (const [what, fault, call, reason] of answers)
    it(`${what}: ${reason}`, async () => {
      const before = await readdir(disk.behind);
      await disk.fail(fault);
      const error = await failure(call());
      assert.deepEqual([error.reason, /Unknown system error/.test(error.message)], [reason, false], error.message);
      assert.notDeepEqual((await disk.seen()).failed, []);
      await nothingLeft(before);
    });

  it('a folder that cannot be synced is a warning: the file is there, and the answer says so', async () => {
    for (const [index, errno] of (['EINVAL', 'ENOTSUP', 'ENOTTY'] as const).entries()) {
      const name = `unsynced-${String(index)}`;
      await disk.fail({ kinds: ['fsyncdir'], errno, times: 0 });
      await create(name);
      await daemon.stranger.operation('ImageService/DeleteImage', { path: at(name) });
      assert.deepEqual(await warnings(name), [['NAME_NOT_DURABLE'], ['NAME_NOT_DURABLE']]);
      await write(name);
    }
    assert.equal(daemon.records().filter(({ message }) => message === 'a filesystem does not sync folders').length, 1);
  });
});

describe('a disk that fails at the last moment', () => {
  const scratch = scratchFolder();
  let daemon: Daemon;
  let disk: FaultFilesystem;
  const at = (name: string) => join(disk.path, name);
  const copy = (name: string, request: Message = {}) =>
    daemon.stranger.operation('ImageService/CopyImage', { source: at('source'), target: at(name), ...request });

  before(async function () {
    disk = await FaultFilesystem.mount(this, scratch, scratch.path('disk'));
    daemon = await Daemon.start(scratch.path('daemon'), { roots: `[[roots]]\npath = "${disk.path}"\n` });
    scratch.onEnd(() => daemon.stop());
    await writeFile(join(disk.behind, 'source'), noise(99_999));
  });

  afterEach(() => disk.heal());

  it('has made, replaced or removed what it did, and warns', async () => {
    for (const [name, errno] of [
      ['a', 'EIO'],
      ['b', 'ENOSPC'],
      ['c', EDQUOT],
    ] as const) {
      await disk.fail({ kinds: ['fsyncdir'], errno });
      await copy(name);
      assert.equal(existsSync(join(disk.behind, name)), true);
    }
    await writeFile(join(disk.behind, 'old'), 'old');
    await disk.fail({ kinds: ['fsyncdir'], errno: 'EIO' });
    await copy('old', { overwrite: true });
    assert.deepEqual(await readFile(join(disk.behind, 'old')), await readFile(join(disk.behind, 'source')));
    await disk.fail({ kinds: ['fsyncdir'], errno: 'EIO' });
    await daemon.stranger.operation('ImageService/DeleteImage', { path: at('old') });
    assert.equal(existsSync(join(disk.behind, 'old')), false);
  });

  it('reads the answer off the disk when a call fails that did its work', async () => {
    // As a request of NFS that is repeated after its answer was lost.
    await disk.fail({ kinds: ['link'], errno: 'EEXIST', after: true });
    await copy('linked');
    await disk.fail({ kinds: ['rename'], errno: 'ENOENT', after: true });
    await copy('linked', { overwrite: true });
    await disk.fail({ kinds: ['link'], errno: 'EEXIST' });
    assert.equal((await failure(copy('not-linked'))).reason, 'TARGET_EXISTS');
  });

  it('goes on when a call that hung comes back', async () => {
    await disk.fail({ kinds: ['fsync'], hang: true });
    const done = copy('hung');
    await until(async () => (await disk.seen()).failed.length > 0);
    await disk.heal();
    await done;
  });
});
