/**
 * The daemon is killed at steps of a fetch: the same request passes after the next start, and what
 * had come does not come again.
 */
import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { cached } from '../../support/cache.js';
import { Daemon } from '../../support/daemon.js';
import { sparseFile } from '../../support/images/disks.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const MIB = 1024 * 1024;

describe('fetches that are killed at a step', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  const folder = () => scratch.path('daemon');
  const image = (name: string) => scratch.path('daemon/images', name);
  const start = (failpoint: string) =>
    Daemon.start(folder(), {
      toml: `[cache]\npath = "${image('cache')}"\n[debug]\nfailpoints = [${JSON.stringify(failpoint)}]\n`,
    });
  let server: FaultServer;
  let raw: Buffer;
  let packed: Buffer;

  before(async () => {
    server = await FaultServer.start();
    scratch.onEnd(() => server.close());
    await sparseFile(scratch.path('raw'), 8 * MIB, [{ at: MIB, length: MIB }]);
    await sh('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', scratch.path('raw'), scratch.path('qcow2'));
    await sh('zstd', '-q', scratch.path('qcow2'), '-o', scratch.path('packed'));
    raw = await readFile(scratch.path('raw'));
    packed = await readFile(scratch.path('packed'));
  });

  for (const [method, use_cache, steps] of [
    // How often the image comes.
    ['FetchImage', false, { checkpoint: 2, expand: 1, seal: 1, published: 1 }],
    // A file in the cache without an entry is no use.
    ['FillCache', true, { convert: 1, enter: 2, published: 1 }],
    ['FetchImage', true, { clone: 1 }],
  ] as const)
    for (const [step, times] of Object.entries(steps))
      it(`${method} at ${step}${use_cache ? ', with the cache' : ''}`, async () => {
        const name = `${method}-${step}-${String(use_cache)}`;
        const url = server.add(name, packed);
        const request: Message = {
          source: { http: { url } },
          target: image('target'),
          target_format: 'raw',
          use_cache,
          request_id: name,
        };
        const first = await start(`${method}:${step}:kill`);
        await failure(first.stranger.all('ImageService/FetchImage', request));
        first.stranger.close();
        assert.equal(await first.exited, null);
        const second = await start('Nobody:started:kill');
        try {
          const result = await second.stranger.operation('ImageService/FetchImage', request);
          assert.equal(result['replayed'] ?? false, method === 'FetchImage' && step === 'published');
          assert.ok((await readFile(image('target'))).equals(raw));
          assert.equal(server.file(name).sentBytes, times * packed.length);
          assert.deepEqual(await second.leftovers(), []);
          const listed = (await second.stranger.unary('ImageService/ListCachedImages'))['images'] ?? [];
          assert.deepEqual(
            await cached(image('cache')),
            (listed as Message[]).map((entry) => entry['cache_id']),
          );
          await second.stranger.operation('ImageService/EvictCachedImages', { target_bytes: '0' });
        } finally {
          await second.stop();
          await rm(image('target'), { force: true });
        }
      });

  for (const name of ['probe', 'expanded', 'part', '.taken.Ab12Cd', 'of another version'])
    it(`a file "${name}" that a kill left in the private folder hinders nobody`, async () => {
      const url = server.add(`left-${name.replaceAll(' ', '-')}`, packed);
      const request = { source: { http: { url } }, target: image('target'), target_format: 'raw' };
      const first = await start('FetchImage:expand:kill');
      await failure(first.stranger.all('ImageService/FetchImage', request));
      first.stranger.close();
      await first.exited;
      const folder = (await first.leftovers()).find((each) => !each.includes('/')) ?? '';
      await writeFile(image(`${folder}/${name}`), 'left');
      const second = await start('Nobody:started:kill');
      try {
        await second.stranger.operation('ImageService/FetchImage', request);
        assert.ok((await readFile(image('target'))).equals(raw));
        // What had come is not thrown away.
        assert.equal(server.file(`left-${name.replaceAll(' ', '-')}`).sentBytes, packed.length);
        assert.deepEqual(await second.leftovers(), []);
      } finally {
        await second.stop();
        await rm(image('target'), { force: true });
      }
    });

  it('what is being used is not evicted', async () => {
    const daemon = await start('FetchImage:clone:pause');
    try {
      const url = server.add('leased', packed);
      const request = { source: { http: { url } }, target: image('leased'), use_cache: true };
      const ended = failure(daemon.stranger.all('ImageService/FetchImage', request));
      const evict = (more: Message) => daemon.stranger.operation('ImageService/EvictCachedImages', more);
      const list = async () => (await daemon.stranger.unary('ImageService/ListCachedImages'))['images'] as Message[];
      await until(async () => ((await list()) as unknown) !== undefined);
      const [entry] = await list();
      assert.equal((await failure(evict({ cache_ids: [entry?.['cache_id']] }))).reason, 'IMAGE_IN_USE');
      assert.equal(((await evict({ target_bytes: '0' }))['deletion'] as Message)['items'] ?? '0', '0');
      assert.equal((await list()).length, 1);
      daemon.process.kill('SIGKILL');
      await ended;
    } finally {
      daemon.process.kill('SIGKILL');
      await daemon.exited;
      daemon.stranger.close();
    }
  });
});
