/**
 * What operations say they moved and skipped, held against what lies on disk and what a server has
 * sent.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { suiteDaemon } from '../../support/daemon.js';
import { allocatedBytes, sparseFile } from '../../support/images/disks.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { reported } from '../../support/numbers/reported.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import type { Message } from '../../support/stranger.js';

const MIB = 1024 * 1024;
const SIZE = 64 * MIB;
const DATA = 6 * MIB;
/** Of the guest's disk an overlay has so much itself. */
const OVERLAID = 2 * MIB;
/** A filesystem's own blocks for a file, and what is smaller than a cluster. */
const CLOSE = 512 * 1024;

describe('true numbers', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  const daemon = suiteDaemon(scratch, () => ({ toml: `[cache]\npath = "${scratch.path('daemon/images/cache')}"\n` }));
  const at = (name: string) => daemon.get().image(name);
  let server: FaultServer;
  before(async () => {
    server = await FaultServer.start();
    scratch.onEnd(() => server.close());
    const pieces = [0, 9, 20, 40].map((n) => ({ at: n * MIB, length: DATA / 4 }));
    await sparseFile(at('raw'), SIZE, pieces);
    const convert = (to: string, ...more: string[]) =>
      sh('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', ...more, at('raw'), at(to));
    await convert('qcow2');
    await convert('packed', '-c');
    // Zeros that take space.
    await sh('cp', '--sparse=never', at('raw'), at('dense'));
    for (const name of ['flat', 'merged', 'over']) {
      await sh('cp', at('raw'), at(`${name} base`));
      await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', at(`${name} base`), '-F', 'raw', at(name));
      await sh('qemu-io', '-f', 'qcow2', '-c', 'write -P 7 50M 2M', at(name));
    }
  });
  let made = 0;

  /** The last progress that was shown, the result, and where the image is. */
  async function numbers(rpc: string, request: Message, breaks?: 'begins again') {
    const target = at(`made-${String(made++)}`);
    const own = ['path', 'first'].some((field) => field in request) ? {} : { target };
    const reports = await reported(daemon.get().stranger, `ImageService/${rpc}`, { ...own, ...request }, breaks);
    const { done = 0, total, skipped = 0 } = reports.last ?? {};
    return { target, ...reports, progress: { done, total, skipped } };
  }
  /** What was moved, what was not, and the progress at the end. */
  const moves = (moved: number, whole: number) => [
    moved,
    whole - moved,
    { done: moved, total: moved, skipped: whole - moved },
  ];
  const near = (found: number, expected: number, what: string) => {
    assert.ok(Math.abs(found - expected) <= CLOSE, `${what}: ${String(found)} instead of ${String(expected)}`);
  };

  const copies: readonly [title: string, rpc: string, request: () => Message, data: number][] = [
    ...['raw', 'dense'].map((source): [string, string, () => Message, number] => [
      `a copy of ${source}`,
      'CopyImage',
      () => ({ source: at(source), engine: 'COPY_ENGINE_LOCAL_SPARSE' }),
      DATA,
    ]),
    ['a copy that is verified', 'CopyImage', () => ({ source: at('dense'), verify: true }), DATA],
    ['a copy that keeps its blocks', 'CopyImage', () => ({ source: at('dense'), preserve_allocation: true }), SIZE],
    ...(
      [
        ['raw', 'raw', DATA],
        ['dense', 'raw', DATA],
        ['qcow2', 'qcow2', DATA],
        ['packed', 'qcow2', DATA],
        ['over', 'qcow2', DATA + OVERLAID],
      ] as const
    ).flatMap(([source, format, data]) =>
      ['raw', 'qcow2'].map((target): [string, string, () => Message, number] => [
        `${source} made ${target}`,
        'ConvertImage',
        () => ({ source: at(source), source_format: format, target_format: target }),
        data,
      ]),
    ),
  ];
  for (const [title, rpc, request, data] of copies)
    it(`${title}: what is on disk was moved, and the rest was skipped`, async function () {
      const { target, progress, moved, skipped, result } = await numbers(rpc, request());
      if (result['engine'] === 'REFLINK') {
        assert.equal(moved, 0);
        return;
      }
      near(moved, data, 'moved');
      near(await allocatedBytes(target), moved, 'on disk');
      assert.equal(moved + skipped, SIZE);
      assert.deepEqual(progress, { done: moved, total: moved, skipped });
    });

  it('what comes from a server is what it has sent, zeros too', async () => {
    for (const name of ['raw', 'qcow2', 'packed']) {
      const content = await readFile(at(name));
      const source = { http: { url: server.add(name, content) } };
      const { result, progress } = await numbers('FetchRawImage', { source });
      assert.equal(Number(result['network_bytes']), server.file(name).sentBytes);
      assert.deepEqual(progress, { done: content.length, total: content.length, skipped: 0 });
    }
  });
  it('what was cut is counted as often as it came', async () => {
    const content = await readFile(at('qcow2'));
    const faults = { noRanges: true, cutAfter: { bytes: 2 * MIB, times: 2 } };
    const source = { http: { url: server.add('cut', content, faults) } };
    const { result, progress } = await numbers('FetchRawImage', { source }, 'begins again');
    assert.equal(Number(result['network_bytes']), server.file('cut').sentBytes);
    assert.equal(progress.done, content.length);
  });
  it('what was compressed is moved as it is written', async () => {
    const source = { http: { url: server.add('raw.gz', gzipSync(await readFile(at('raw')))) } };
    const { result, progress, target } = await numbers('FetchImage', { source });
    assert.equal(Number(result['network_bytes']), server.file('raw.gz').sentBytes);
    near(progress.done, await allocatedBytes(target), 'done');
    assert.equal(progress.done + progress.skipped, SIZE);
  });
  it('what the cache had came from nowhere', async () => {
    const request = { source: { http: { url: server.add('kept', await readFile(at('qcow2'))) } }, use_cache: true };
    assert.equal(Number((await numbers('FetchImage', request)).result['network_bytes']), server.file('kept').sentBytes);
    const before = server.file('kept').sentBytes;
    assert.equal(Number((await numbers('FetchImage', request)).result['network_bytes'] ?? 0), 0);
    assert.equal(server.file('kept').sentBytes, before);
  });
  it('what is slowed down shows no more than there is, and goes up by and by', async () => {
    const rate = { bandwidth_bytes_per_second: String(8 * MIB) };
    await sparseFile(at('slow'), SIZE, [{ at: 0, length: 16 * MIB }]);
    for (const [rpc, request] of [
      ['ConvertImage', { source: at('slow'), source_format: 'raw', target_format: 'qcow2' }],
      ['CopyImage', { source: at('slow'), engine: 'COPY_ENGINE_LOCAL_SPARSE' }],
    ] as const) {
      const { shown, last } = await reported(daemon.get().stranger, `ImageService/${rpc}`, {
        ...{ target: at(`slow ${rpc}`), ...rate },
        ...request,
      });
      const moving = shown.filter(({ phase }) => /CONVERTING|COPYING/.test(phase)).map(({ done }) => done);
      // Sixteen requests would be all of it, at once.
      assert.ok(new Set(moving.filter((done) => done < 16 * MIB)).size >= 3, String(moving));
      assert.equal(last?.done, 16 * MIB);
    }
  });
  it('a comparison goes over the larger disk', async () => {
    const request = { first: at('raw'), first_format: 'raw', second: at('qcow2'), second_format: 'qcow2' };
    const { progress } = await numbers('CompareImages', request);
    assert.deepEqual(progress, { done: SIZE, total: SIZE, skipped: 0 });
  });
  it('a flatten moves what the base has, a commit what the overlay has', async () => {
    assert.equal((await numbers('RebaseImage', { path: at('flat'), format: 'qcow2' })).moved, DATA);
    assert.equal((await numbers('CommitImage', { path: at('merged'), format: 'qcow2' })).moved, OVERLAID);
  });
  it('a base with zeros that take space: they are not moved, by a flatten or compressed', async () => {
    const overlay = async (name: string, base: string) => {
      await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', at(base), '-F', 'raw', at(name));
      return { path: at(name), format: 'qcow2' };
    };
    const flat = await numbers('RebaseImage', await overlay('flat dense', 'dense'));
    assert.deepEqual([flat.moved, flat.skipped, flat.progress], moves(DATA, SIZE));
    for (const format of ['qcow2', 'vmdk']) {
      const compress = { target_format: format, compress: true };
      const made = await numbers('ConvertImage', { source: at('dense'), source_format: 'raw', ...compress });
      near(made.moved, DATA, format);
      assert.deepEqual([made.moved, made.skipped, made.progress], moves(made.moved, SIZE));
    }
  });
  it('on another base an image moves what is different there, and nothing where all is the same', async () => {
    await sh('cp', at('dense'), at('same'));
    await sh('cp', at('dense'), at('other'));
    // One piece of data is other data, one is zeros, and zeros are data: those are written over it.
    for (const write of ['-P 9 9M 1M', '-z 20M 2M', '-P 9 30M 2M'])
      await sh('qemu-io', '-f', 'raw', '-c', `write ${write}`, at('other'));
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', at('dense'), '-F', 'raw', at('moving'));
    await sh('qemu-io', '-f', 'qcow2', '-c', 'write -P 7 50M 2M', at('moving'));
    for (const [base, moved] of [
      ['same', 0],
      ['other', MIB + DATA / 4 + 2 * MIB],
    ] as const) {
      const onto = { backing_file: at(base), backing_format: 'raw' };
      const rebase = await numbers('RebaseImage', { path: at('moving'), format: 'qcow2', ...onto });
      assert.deepEqual([rebase.moved, rebase.skipped, rebase.progress], moves(moved, SIZE - OVERLAID), base);
    }
  });
  it('a digest reads what is data', async () => {
    for (const [name, data] of [
      ['raw', DATA],
      ['dense', SIZE],
    ] as const) {
      const { progress } = await numbers('DigestImage', { path: at(name), format: 'raw', algorithm: 'sha256' });
      assert.deepEqual(progress, { done: data, total: data, skipped: SIZE - data });
    }
  });
  it('an image in full is written, one that is allocated or empty is not', async () => {
    for (const [preallocation, moved] of [
      ['PREALLOCATION_OFF', 0],
      ['PREALLOCATION_FALLOC', 0],
      ['PREALLOCATION_FULL', 8 * MIB],
    ] as const) {
      const path = at(`new ${preallocation}`);
      const create = await numbers('CreateImage', {
        path,
        format: 'raw',
        virtual_size_bytes: String(8 * MIB),
        preallocation,
      });
      assert.deepEqual([create.moved, create.skipped], [moved, 8 * MIB - moved]);
      const grow = await numbers('ResizeImage', {
        path,
        format: 'raw',
        virtual_size_bytes: String(16 * MIB),
        preallocation,
      });
      assert.deepEqual([grow.moved, grow.skipped], [moved, 8 * MIB - moved]);
      const wipe = await numbers('WipeImage', { path, format: 'raw', mode: 'WIPE_MODE_ZERO' });
      assert.ok(wipe.moved + wipe.skipped === 16 * MIB, String([wipe.moved, wipe.skipped]));
    }
  });
});
