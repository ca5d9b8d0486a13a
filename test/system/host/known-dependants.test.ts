/** What backs images stays while it does, and while nobody can tell whether it does. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { Daemon, type DaemonOptions } from '../../support/daemon.js';
import { sparseFile } from '../../support/images/disks.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const MIB = 1024 * 1024;

describe('what images may be backed by', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  let daemon: Daemon;
  let server: FaultServer;
  let checksum: Message;
  const image = (name: string) => daemon.image(name);
  const options = (): DaemonOptions => ({
    http: '127.0.0.1:0',
    toml: `[cache]\npath = "${scratch.path('daemon/images/cache')}"\n`,
    roots: ['images', 'second'].map((name) => `[[roots]]\npath = "${scratch.path('daemon', name)}"\n`).join(''),
  });
  const start = async () => {
    daemon = await Daemon.start(scratch.path('daemon'), options());
  };
  const call = (rpc: string, request: Message) => daemon.stranger.operation(`ImageService/${rpc}`, request);
  const fetch = async (target: string, more: Message = {}) =>
    String(
      (
        (
          await call('FetchImage', {
            source: { http: { url: `${server.origin}/disk` } },
            target,
            overlay: true,
            use_cache: true,
            checksum,
            ...more,
          })
        )['fetch'] as Message
      )['cache_id'],
    );
  const setAside = async () =>
    ((await daemon.stranger.unary('ImageService/ListCachedImages'))['set_aside'] ?? []) as Message[];
  const assertWhole = (path: string) =>
    sh('qemu-img', 'compare', '-q', '-f', 'raw', '-F', 'qcow2', scratch.path('disk.raw'), path);

  before(async () => {
    await mkdir(scratch.path('daemon/second'), { recursive: true });
    server = await FaultServer.start();
    scratch.onEnd(() => server.close());
    await sparseFile(scratch.path('disk.raw'), 8 * MIB, [{ at: MIB, length: MIB }]);
    await sh('qemu-img', 'convert', '-O', 'qcow2', scratch.path('disk.raw'), scratch.path('disk.qcow2'));
    const content = await readFile(scratch.path('disk.qcow2'));
    server.add('disk', content);
    checksum = { algorithm: 'sha256', digest: createHash('sha256').update(content).digest('hex') };
    await start();
    scratch.onEnd(() => daemon.stop());
  });
  afterEach(async () => {
    for (const name of ['vm1', 'vm2']) await rm(image(name), { force: true });
    await call('EvictCachedImages', { target_bytes: '0' });
    for (const { cache_id: id } of await setAside()) await call('EvictCachedImages', { cache_ids: [id] });
  });

  it('a file of the cache that nobody put there stays until it is asked for', async () => {
    for (const name of ['strange', '0'.repeat(24)]) await writeFile(image(`cache/${name}`), 'x'.repeat(5000));
    await mkdir(image('cache/folder'));
    await daemon.stop();
    await start();
    const line = daemon.records().find(({ message }) => String(message).startsWith('files without an entry'));
    assert.equal(line?.['count'], 3);
    assert.match(await daemon.metrics(), /hostler_cache_set_aside_files 3\n/);
    const found = await setAside();
    assert.deepEqual(
      found.map(({ why }) => why),
      ['unknown', 'unknown', 'unknown'],
    );
    await call('EvictCachedImages', { target_bytes: '0' });
    assert.ok(existsSync(image('cache/strange')));
    assert.equal((await failure(call('EvictCachedImages', { cache_ids: ['none'] }))).reason, 'IMAGE_NOT_FOUND');
    for (const id of ['../vm', '..', '.', '', 'a/b', 'rbd:x'])
      assert.equal((await failure(call('EvictCachedImages', { cache_ids: [id] }))).reason, 'INVALID_FIELD', id);
    assert.equal((await failure(call('EvictCachedImages', { cache_ids: ['folder'] }))).reason, 'NOT_A_FILE');
    const { deletion: gone } = (await call('EvictCachedImages', {
      cache_ids: ['strange', '0'.repeat(24)],
    })) as Message & {
      deletion: Message;
    };
    assert.equal(gone['items'], '2');
    assert.ok(!existsSync(image('cache/strange')));
    await rm(image('cache/folder'), { recursive: true });
  });

  const spoil: [string, (path: string) => Promise<unknown>, readonly string[]][] = [
    ['its time was changed', (path) => utimes(path, 1, 1), ['changed', 'changed']],
    [
      'it was copied back',
      async (path) => {
        await copyFile(path, `${path}.new`);
        await rename(`${path}.new`, path);
      },
      // Another file is not known to be ours.
      ['changed', 'unknown'],
    ],
  ];
  for (const [how, change, whys] of spoil)
    it(`a cached image on which an overlay lies stays when ${how}`, async () => {
      const id = await fetch(image('vm1'));
      await change(image(`cache/${id}`));
      assert.notEqual(await fetch(image('vm2')), id);
      for (const why of whys) {
        assert.deepEqual(
          (await setAside()).map((each) => [each['cache_id'], each['why']]),
          [[id, why]],
        );
        await call('EvictCachedImages', { target_bytes: '0' });
        assert.equal((await failure(call('EvictCachedImages', { cache_ids: [id] }))).reason, 'IMAGE_IN_USE');
        await assertWhole(image('vm1'));
        await daemon.stop();
        await start();
      }
    });

  it('an entry whose file was changed goes by itself when nothing lies on it', async () => {
    const id = await fetch(image('vm1'));
    await utimes(image(`cache/${id}`), 1, 1);
    await fetch(image('vm2'));
    await rm(image('vm1'));
    await call('EvictCachedImages', { target_bytes: String(1 << 30) });
    assert.ok(!existsSync(image(`cache/${id}`)));
    assert.deepEqual(await setAside(), []);
  });

  it('with a state folder that is new all of the cache is unknown, and stays', async () => {
    const id = await fetch(image('vm1'));
    await daemon.stop();
    await rm(scratch.path('daemon/state'), { recursive: true });
    await start();
    assert.deepEqual(
      (await setAside()).map((each) => [each['cache_id'], each['why']]),
      [[id, 'unknown']],
    );
    assert.equal((await failure(call('EvictCachedImages', { cache_ids: [id] }))).reason, 'IMAGE_IN_USE');
    await daemon.stop();
    await start();
    await assertWhole(image('vm1'));
  });

  it('while a root is not what it was, nothing in any root is known to be free', async () => {
    const id = await fetch(scratch.path('daemon/second/vm'));
    const [second, away] = [scratch.path('daemon/second'), scratch.path('daemon/away')];
    const create = (path: string) => call('CreateImage', { path, format: 'raw', size: '1M' });
    await create(image('base.raw'));
    // As if its filesystem was unmounted: an empty folder is left.
    await rename(second, away);
    await mkdir(second);
    try {
      await call('EvictCachedImages', { target_bytes: '0' });
      assert.ok(existsSync(image(`cache/${id}`)));
      const calls: [string, Message][] = [
        ['EvictCachedImages', { cache_ids: [id] }],
        ['DeleteImage', { path: image('base.raw') }],
        ['CreateImage', { path: image('base.raw'), format: 'raw', size: '1M', overwrite: true }],
        ['ResizeImage', { path: image('base.raw'), format: 'raw', size: '512K', allow_shrink: true }],
      ];
      for (const [rpc, request] of calls) {
        const error = await failure(call(rpc, request));
        assert.equal(error.reason, 'DEPENDANTS_UNKNOWN', `${rpc}: ${error.message}`);
        assert.equal(error.metadata['root'], second);
      }
      const [listed] = ((await daemon.stranger.unary('ImageService/ListCachedImages'))['images'] ?? []) as Message[];
      assert.equal(listed?.['in_use'], true);
      await call('DeleteImage', { path: image('base.raw'), allow_dependants: true });
    } finally {
      await rm(second, { recursive: true });
      await rename(away, second);
    }
    assert.equal((await failure(call('EvictCachedImages', { cache_ids: [id] }))).reason, 'IMAGE_IN_USE');
    await assertWhole(`${second}/vm`);
    await rm(`${second}/vm`);
    await call('EvictCachedImages', { cache_ids: [id] });
  });
});
