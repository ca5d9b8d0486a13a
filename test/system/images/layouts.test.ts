/**
 * What a caller can choose beside the format: made by qemu-img, found by its own words, and by
 * ours.
 */
import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const MIB = 1 << 20;

describe('how images are laid out', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, () => ({ toml: `[cache]\npath = "${scratch.path('daemon/images/cache')}"\n` }));
  const at = (name: string) => daemon.get().image(name);
  const run = (rpc: string, request: Message) => daemon.get().stranger.operation(`ImageService/${rpc}`, request);
  const infoOf = async (work: Promise<unknown>) => ((await work) as { image: { info: Message } }).image.info;
  let server: FaultServer;
  before(needsSandbox);
  before(async () => {
    await writeFile(at('disk'), noise(3 * MIB));
    await sh('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', at('disk'), at('disk.qcow2'));
    server = await FaultServer.start();
    scratch.onEnd(() => server.close());
  });

  for (const [format, subformat] of [
    ['vpc', 'dynamic'],
    ['vpc', 'fixed'],
    ['vhdx', 'dynamic'],
    ['vhdx', 'fixed'],
    ['vmdk', 'monolithicSparse'],
    ['vmdk', 'streamOptimized'],
  ] as const)
    it(`${format} ${subformat}`, async () => {
      const made = at(`made-${subformat}.${format}`);
      const create = run('CreateImage', { path: made, format, size: '8M', subformat });
      assert.equal((await infoOf(create))['subformat'], subformat);
      const target = at(`${subformat}.${format}`);
      const convert = { source: at('disk'), source_format: 'raw', target, target_format: format, subformat };
      const info = await infoOf(run('ConvertImage', convert));
      assert.equal(info['subformat'], subformat);
      assert.equal(info['virtual_size_bytes'], String(3 * MIB));
      await sh('qemu-img', 'convert', '-f', format, '-O', 'raw', target, `${target}.raw`);
      assert.ok((await readFile(`${target}.raw`)).equals(noise(3 * MIB)));
    });

  it('a fixed vpc is the disk and a footer, as Azure takes it', async () => {
    const target = at('azure.vhd');
    const convert = { source: at('disk'), source_format: 'raw', target, target_format: 'vpc', subformat: 'fixed' };
    await run('ConvertImage', convert);
    const content = await readFile(target);
    assert.equal((await stat(target)).size, 3 * MIB + 512);
    assert.ok(content.subarray(0, 3 * MIB).equals(noise(3 * MIB)));
    assert.equal(content.readBigUInt64BE(3 * MIB + 48), BigInt(3 * MIB), 'the size field');
  });

  it('versions and reference counts of qcow2', async () => {
    for (const [chosen, compat, bits] of [
      [{}, '1.1', 16],
      [{ compat: '0.10' }, '0.10', 16],
      [{ compat: '1.1', refcount_bits: 64 }, '1.1', 64],
      [{ refcount_bits: 1 }, '1.1', 1],
    ] as const) {
      const [made, converted] = [at('made.qcow2'), at('converted.qcow2')];
      const create = { path: made, format: 'qcow2', size: '8M', overwrite: true, ...chosen };
      const convert = { source: at('disk'), source_format: 'raw', target_format: 'qcow2', overwrite: true, ...chosen };
      await run('CreateImage', create);
      const info = await infoOf(run('ConvertImage', { ...convert, target: converted }));
      assert.deepEqual([info['compat'], info['refcount_bits']], [compat, bits]);
      for (const path of [made, converted]) {
        const text = await sh('qemu-img', 'info', '--output=json', '-f', 'qcow2', path);
        const { data } = (JSON.parse(text) as { 'format-specific': { data: Message } })['format-specific'];
        assert.deepEqual([data['compat'], data['refcount-bits']], [compat, bits]);
      }
    }
  });

  const MAKERS = [
    'ConvertImage',
    'ExtractSnapshot',
    'FetchImage of raw',
    'FetchImage of qcow2',
    'FetchImage out of the cache',
    'FetchImage of an overlay',
    'CreateOverlay',
  ];
  /** Every call that makes an image takes the same. */
  const QCOW2S: readonly (readonly [Message, Message])[] = [
    [{ compat: '0.10' }, { compat: '0.10', refcount_bits: 16 }],
    [
      { refcount_bits: 1, cluster_size_bytes: '4096' },
      { compat: '1.1', refcount_bits: 1, cluster_size_bytes: '4096' },
    ],
    [
      { extended_l2: true, cluster_size_bytes: '131072', lazy_refcounts: true },
      { extended_l2: true, cluster_size_bytes: '131072', lazy_refcounts: true },
    ],
  ];
  const http = (content: Buffer) => ({ http: { url: server.add('image', content) } });
  const whole = async (info: Message) =>
    assert.ok((await contentOf(at('out'), String(info['format']))).equals(noise(3 * MIB)));
  const contentOf = async (path: string, format: string) => {
    await sh('qemu-img', 'convert', '-f', format, '-O', 'raw', path, `${path}.raw`);
    return readFile(`${path}.raw`);
  };
  const makers = (): Readonly<Record<string, (chosen: Message) => Promise<Message>>> => {
    const disk = { source_format: 'raw', target: at('out'), target_format: 'qcow2', overwrite: true };
    const fetch = { target: at('out'), target_format: 'qcow2', overwrite: true };
    const fetched = async (request: Message) =>
      ((await run('FetchImage', request)) as { fetch: { info: Message } }).fetch;
    const image = async (rpc: string, request: Message) => ({ info: await infoOf(run(rpc, request)) });
    return {
      ConvertImage: (chosen) => image('ConvertImage', { source: at('disk'), ...disk, ...chosen }),
      ExtractSnapshot: (chosen) => image('ExtractSnapshot', { path: at('disk'), ...disk, ...chosen }),
      'FetchImage of raw': async (chosen) => fetched({ source: http(await readFile(at('disk'))), ...fetch, ...chosen }),
      'FetchImage of qcow2': async (chosen) =>
        fetched({ source: http(await readFile(at('disk.qcow2'))), ...fetch, ...chosen }),
      'FetchImage out of the cache': async (chosen) =>
        fetched({ source: http(await readFile(at('disk'))), ...fetch, use_cache: true, ...chosen }),
      'FetchImage of an overlay': async (chosen) =>
        fetched({ source: http(await readFile(at('disk'))), ...fetch, use_cache: true, overlay: true, ...chosen }),
      CreateOverlay: (chosen) =>
        image('CreateOverlay', {
          path: at('out'),
          backing_file: at('disk'),
          backing_format: 'raw',
          overwrite: true,
          ...chosen,
        }),
    };
  };
  for (const maker of MAKERS)
    it(`${maker} takes the layout of a qcow2`, async () => {
      for (const [chosen, expected] of QCOW2S) {
        const { info } = (await makers()[maker]?.(chosen)) as { info: Message };
        for (const [name, value] of Object.entries(expected)) assert.deepEqual(info[name], value, name);
        const text = await sh('qemu-img', 'info', '--output=json', '-f', 'qcow2', at('out'));
        const said = JSON.parse(text) as { 'cluster-size': number; 'format-specific': { data: Message } };
        const { data } = said['format-specific'];
        assert.equal(data['compat'], expected['compat'] ?? '1.1');
        assert.equal(data['refcount-bits'], expected['refcount_bits'] ?? 16);
        assert.equal(data['extended-l2'] ?? false, expected['extended_l2'] ?? false);
        if (expected['cluster_size_bytes'] !== undefined)
          assert.equal(String(said['cluster-size']), expected['cluster_size_bytes']);
        await whole(info);
      }
    });

  for (const maker of ['ExtractSnapshot', 'FetchImage of raw', 'FetchImage out of the cache'])
    it(`${maker} makes a fixed VHD`, async () => {
      const { info } = (await makers()[maker]?.({ target_format: 'vpc', subformat: 'fixed' })) as { info: Message };
      assert.equal(info['subformat'], 'fixed');
      assert.ok((await readFile(at('out'))).subarray(0, 3 * MIB).equals(noise(3 * MIB)));
    });

  it('a layout that is not chosen leaves what comes as it is', async () => {
    await makers()['FetchImage of qcow2']?.({});
    assert.ok((await readFile(at('out'))).equals(await readFile(at('disk.qcow2'))));
  });

  it('every call refuses what a format cannot have', async () => {
    const fetch = { source: { file: { path: at('disk') } }, target: at('never') };
    const overlay = { path: at('never'), backing_file: at('disk'), backing_format: 'raw' };
    const from = { source_format: 'raw', target: at('never') };
    for (const [rpc, request, words] of [
      ['FetchImage', { ...fetch, compat: '1.1' }, /compat: needs target_format/],
      [
        'FetchImage',
        { ...fetch, target: 'rbd:p/i', target_format: 'raw', subformat: 'fixed' },
        /subformat: not in a cluster/,
      ],
      ['FetchImage', { ...fetch, target_format: 'vdi', lazy_refcounts: true }, /lazy_refcounts: only for qcow2/],
      [
        'FetchImage',
        { ...fetch, target_format: 'raw', cluster_size_bytes: '65536' },
        /cluster_size_bytes: raw has no choice/,
      ],
      ['CreateOverlay', { ...overlay, compat: '0.10', extended_l2: true }, /extended_l2: needs compat 1\.1/],
      ['CreateOverlay', { ...overlay, refcount_bits: 3 }, /refcount_bits: must be a power of two/],
      [
        'ExtractSnapshot',
        { path: at('disk'), ...from, target_format: 'vmdk', subformat: 'fixed' },
        /subformat: one of mono/,
      ],
      [
        'ExtractSnapshot',
        { path: at('disk'), ...from, target_format: 'qed', cluster_size_bytes: '512' },
        /qed needs at least/,
      ],
      [
        'ConvertImage',
        { source: at('disk'), ...from, target_format: 'vdi', extended_l2: true },
        /extended_l2: only for qcow2/,
      ],
    ] as const) {
      const error = await failure(run(rpc, request));
      assert.equal(error.reason, 'INVALID_FIELD', error.message);
      assert.match(error.message, words);
    }
  });

  it('refuses what a format is not, has not, or what makes several files', async () => {
    const create = { path: at('never'), size: '8M' };
    for (const [request, field, words] of [
      [{ format: 'vmdk', subformat: 'monolithicFlat' }, 'subformat', /several files/],
      [{ format: 'vmdk', subformat: 'twoGbMaxExtentSparse' }, 'subformat', /several files/],
      [{ format: 'vpc', subformat: 'monolithicSparse' }, 'subformat', /one of dynamic, fixed/],
      [{ format: 'vmdk', subformat: 'fixed,x=y' }, 'subformat', /one of monolithicSparse, streamOptimized/],
      [{ format: 'qcow2', subformat: 'fixed' }, 'subformat', /qcow2 has none/],
      [{ format: 'raw', compat: '1.1' }, 'compat', /only for qcow2/],
      [{ format: 'qcow2', compat: '3' }, 'compat', /0\.10 or 1\.1/],
      [{ format: 'qcow2', refcount_bits: 3 }, 'refcount_bits', /power of two/],
      [{ format: 'vdi', refcount_bits: 8 }, 'refcount_bits', /only for qcow2/],
      [{ format: 'qcow2', compat: '0.10', refcount_bits: 8 }, 'refcount_bits', /needs compat 1\.1/],
      [{ format: 'qcow2', compat: '0.10', extended_l2: true }, 'extended_l2', /needs compat 1\.1/],
      [{ format: 'qcow2', compat: '0.10', lazy_refcounts: true }, 'lazy_refcounts', /needs compat 1\.1/],
    ] as const) {
      const error = await failure(run('CreateImage', { ...create, ...request }));
      assert.equal(error.reason, 'INVALID_FIELD', error.message);
      assert.match(error.message, new RegExp(`${field}: `));
      assert.match(error.message, words);
    }
    const convert = { source: at('disk'), source_format: 'raw', target: at('never') };
    const both = { ...convert, target_format: 'vmdk', compress: true, subformat: 'monolithicSparse' };
    assert.match((await failure(run('ConvertImage', both))).message, /subformat: a compressed vmdk is streamOptimized/);
    const old = { compress: true, compression_type: 'COMPRESSION_TYPE_ZSTD', compat: '0.10' };
    const error = await failure(run('ConvertImage', { ...convert, target_format: 'qcow2', ...old }));
    assert.match(error.message, /compression_type: needs compat 1\.1/);
  });
});
