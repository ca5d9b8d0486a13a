/** Fetching onto filesystems that are full, or become full, in each phase. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { cached } from '../../support/cache.js';
import { checkEach } from '../../support/check-each.js';
import { Daemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { FaultServer, type Faults } from '../../support/servers/fault-server.js';
import { isRoot, needs } from '../../support/needs.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun } from '../../support/shell.js';
import { CallError, failure, type Message } from '../../support/stranger.js';

const MIB = 1024 * 1024;
/** Room for an entry of the cache and for the target made of it. */
const SIZE_MIB = 40;
const INODES = 40;
const PAGE = 4096;
const OVERHEAD = MIB;

describe('fetching onto a full disk', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  /** 16 MiB of data as raw, 5 MiB as qcow2, 1 MiB as that packed. */
  let raw: Buffer;
  let qcow2: Buffer;
  let packed: Buffer;
  let daemon: Daemon;
  let server: FaultServer;
  const small = (name = '') => daemon.image(name);

  before(async function () {
    needs(this, isRoot, 'needs root to mount');
    const folder = scratch.path('daemon');
    await mkdir(join(folder, 'images'), { recursive: true });
    const options = `size=${String(SIZE_MIB)}m,nr_inodes=${String(INODES)}`;
    const mounted = await tryRun('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', join(folder, 'images')]);
    needs(this, mounted.code === 0, `a tmpfs cannot be mounted here: ${mounted.stderr.trim()}`);
    scratch.onEnd(() => sh('umount', join(folder, 'images')));
    daemon = await Daemon.start(folder, {
      toml: `[limits]\nspace_overhead_bytes = 0\n[cache]\npath = "${folder}/images/cache"\n`,
    });
    scratch.onEnd(() => daemon.stop());
    server = await FaultServer.start();
    scratch.onEnd(() => server.close());
    raw = Buffer.concat(
      Array.from({ length: 256 }, (_, n) => Buffer.concat([noise(16384, n % 64), Buffer.alloc(49152, 1)])),
    );
    await writeFile(scratch.path('raw'), raw);
    await sh('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', '-c', scratch.path('raw'), scratch.path('qcow2'));
    await sh('zstd', '-q', '-19', '--long=27', scratch.path('qcow2'), '-o', scratch.path('packed'));
    qcow2 = await readFile(scratch.path('qcow2'));
    packed = await readFile(scratch.path('packed'));
  });
  afterEach(() => rm(small('target'), { force: true }));
  checkEach(async () => assert.deepEqual(await daemon.leftovers(), []));

  const fetch = (rpc: string, request: Message) => daemon.stranger.operation(`ImageService/${rpc}`, request);
  const free = async (what: '%a' | '%d') => Number(await sh('stat', '-f', '-c', what, small()));
  const FILL = 'fill';
  async function leaveBytes(bytes: number): Promise<void> {
    await rm(small(FILL), { force: true });
    await sh('fallocate', '-l', String(Math.floor((await free('%a')) * PAGE - bytes)), small(FILL));
  }

  describe('there is no room', () => {
    const source = (more: Faults = {}) => ({ http: { url: server.add('packed', packed, more) } });
    const request = (more?: Faults) => ({ source: source(more), target: small('target'), target_format: 'raw' });
    for (const use_cache of [false, true])
      describe(use_cache ? 'with the cache' : 'without the cache', () => {
        const attempt = async (bytes: number, more?: Faults) => {
          await leaveBytes(bytes);
          const error = await failure(fetch('FetchImage', { ...request(more), use_cache }));
          assert.deepEqual([error.code, error.reason], [status.RESOURCE_EXHAUSTED, 'NO_SPACE']);
          assert.deepEqual((await readdir(small())).sort(), ['cache', FILL]);
          assert.deepEqual(await cached(small('cache')), []);
          assert.equal((await daemon.stranger.unary('ImageService/ListCachedImages'))['images'], undefined);
          return error.metadata;
        };
        it('for what is announced: refused before it comes', async () => {
          assert.equal((await attempt(packed.length / 2))['needed'], String(packed.length));
        });
        it('for what comes without a length: refused before it is written', async () => {
          assert.notEqual((await attempt(packed.length / 2, { noLength: true }))['needed'], undefined);
        });
        it('for what is in it: refused before it is written', async () => {
          assert.notEqual((await attempt(packed.length + OVERHEAD))['needed'], undefined);
        });
        it('for what is made of it', async () => {
          assert.ok(Number((await attempt(packed.length + qcow2.length + OVERHEAD))['needed']) >= 15 * MIB);
        });
      });
    it('for a copy beside the entry of the cache, which stays', async () => {
      await leaveBytes(24 * MIB);
      const { fetch: made } = await fetch('PrefetchImage', { source: source(), target_format: 'raw' });
      const error = await failure(fetch('FetchImage', { ...request(), use_cache: true }));
      assert.equal(error.reason, 'NO_SPACE');
      assert.deepEqual(await cached(small('cache')), [(made as Message)['cache_id']]);
      await fetch('EvictCachedImages', { target_bytes: '0' });
    });
    it('and when there is, the same request passes', async () => {
      await leaveBytes(24 * MIB);
      await fetch('FetchImage', request());
      assert.ok((await readFile(small('target'))).equals(raw));
    });
  });

  describe('there is no room for a name', () => {
    before(async () => {
      await rm(small(FILL), { force: true });
      await mkdir(small(FILL));
    });
    after(() => rm(small(FILL), { recursive: true }));
    for (const [title, rpc, more] of [
      ['bytes as they are', 'FetchRawImage', {}],
      ['an image that is converted', 'FetchImage', { target_format: 'raw' }],
      ['an image by way of the cache', 'FetchImage', { target_format: 'raw', use_cache: true }],
    ] as const)
      it(`at any place: ${title}`, async () => {
        const url = server.add('image', qcow2);
        const names = await free('%d');
        for (let n = 0; n < names; n++) await writeFile(small(`${FILL}/${String(n)}`), '');
        const refusals: string[] = [];
        for (let left = 0; ; left++) {
          if (left > 0) await rm(small(`${FILL}/${String(left - 1)}`));
          try {
            await fetch(rpc, { source: { http: { url } }, target: small('target'), ...more });
            break;
          } catch (error) {
            if (!(error instanceof CallError)) throw error;
            refusals.push(error.reason);
            assert.deepEqual(await daemon.leftovers(), []);
            assert.ok(!existsSync(small('target')));
          }
        }
        assert.ok(refusals.length >= 2);
        assert.deepEqual(new Set(refusals), new Set(['NO_SPACE']));
        assert.ok((await readFile(small('target'))).equals(rpc === 'FetchRawImage' ? qcow2 : raw));
        await rm(small(FILL), { recursive: true });
        await mkdir(small(FILL));
      });
  });
});
