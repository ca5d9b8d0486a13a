/** An image whose file was cut: no verb that reads all of it succeeds, and nothing is left. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFile, mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { checkEach } from '../../support/check-each.js';
import { suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const MIB = 1 << 20;

describe('an image that was cut', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  const image = (name: string) => daemon.get().image(name);
  const drop = (name: string) => scratch.path('drop', name);
  const run = (rpc: string, request: Message) => daemon.get().stranger.operation(`ImageService/${rpc}`, request);
  let server: FaultServer;
  let cut: Buffer;

  before(async () => {
    server = await FaultServer.start();
    scratch.onEnd(() => server.close());
    await mkdir(scratch.path('drop'));
    await writeFile(scratch.path('disk'), noise(4 * MIB));
    await sh('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', scratch.path('disk'), scratch.path('cut'));
    await truncate(scratch.path('cut'), 3 * MIB);
    cut = await readFile(scratch.path('cut'));
  });
  const daemon = suiteDaemon(scratch, () => ({
    roots: `[[roots]]\npath = "${scratch.path('daemon')}/images"\n[[roots]]\npath = "${scratch.path('drop')}"\ntrusted = false\n`,
  }));
  before(async () => {
    await copyFile(scratch.path('cut'), drop('cut'));
    await copyFile(scratch.path('cut'), image('cut'));
    await sh('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', scratch.path('disk'), image('cut-snapshot'));
    await sh('qemu-img', 'snapshot', '-c', 'one', image('cut-snapshot'));
    // Behind the table of snapshots, without which it would be refused for that.
    await sh('qemu-io', '-f', 'qcow2', '-c', 'write -P 5 0 1M', image('cut-snapshot'));
    await truncate(image('cut-snapshot'), (await stat(image('cut-snapshot'))).size - 100_000);
    await writeFile(image('disk'), noise(4 * MIB));
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', image('cut'), image('overlay'));
    // An overlay that has been cut itself.
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', image('disk'), image('cut-overlay'));
    await sh('qemu-io', '-f', 'qcow2', '-c', 'write -P 3 0 1M', image('cut-overlay'));
    await sh('qemu-io', '-f', 'qcow2', '-c', 'write -P 3 0 1M', image('overlay'));
    await truncate(image('cut-overlay'), (await stat(image('cut-overlay'))).size - 100_000);
    asCut = await cutOnes();
  });
  let asCut: readonly Buffer[];
  const cutOnes = () =>
    Promise.all(['cut', 'cut-snapshot', 'cut-overlay', 'overlay'].map((name) => readFile(image(name))));
  checkEach(async () => {
    // What a tool adds behind the cut would hide it from then on.
    for (const [n, found] of (await cutOnes()).entries()) assert.ok(asCut[n]?.equals(found), `image ${String(n)}`);
    assert.deepEqual(await daemon.get().leftovers(), []);
    assert.deepEqual(
      (await readdir(scratch.path('daemon', 'images'))).filter((name) => name === 'out'),
      [],
    );
  });

  const fetch = (more: Message = {}) =>
    run('FetchImage', { source: { http: { url: server.add('cut', cut) } }, target: image('out'), ...more });
  const upload = async () => {
    const { upload_id } = await daemon.get().stranger.unary('ImageService/StartUpload', {
      target: image('out'),
      format: 'qcow2',
      length_bytes: String(cut.length),
      checksum: { algorithm: 'sha256', digest: createHash('sha256').update(cut).digest('hex') },
    });
    const data = Array.from({ length: Math.ceil(cut.length / MIB) }, (_, n) => ({
      data: cut.subarray(n * MIB, (n + 1) * MIB),
    }));
    return daemon.get().stranger.send('ImageService/UploadImage', [{ header: { upload_id, offset: '0' } }, ...data]);
  };
  const convert = (source: string, source_format = 'qcow2') =>
    run('ConvertImage', { source, source_format, target: image('out'), target_format: 'raw' });
  const overlay = (rpc: string, more: Message = {}) =>
    run(rpc, { path: image('cut-overlay'), format: 'qcow2', ...more });

  const change = (rpc: string, more: Message = {}) => run(rpc, { path: image('cut'), format: 'qcow2', ...more });
  const snapshot = (rpc: string) =>
    run(rpc, { path: image('cut-snapshot'), format: 'qcow2', snapshot: 'one', allow_dependants: true });

  const checked = async (path: string, format: string) => {
    const events = await daemon.get().stranger.all('ImageService/CheckImage', { path, format });
    const { operation_id, result } = events.at(-1) as { operation_id: string; result: { check: Message } };
    const { operation } = (await daemon.get().stranger.unary('OperationService/GetOperation', { operation_id })) as {
      operation: { warnings?: readonly { message: string }[] };
    };
    return { check: result.check, warning: operation.warnings?.[0]?.message ?? 'none' };
  };
  const map = (name: string) =>
    daemon.get().stranger.all('ImageService/MapImage', { path: image(name), format: 'qcow2' });
  const measure = (name: string) =>
    daemon.get().stranger.unary('ImageService/MeasureImage', {
      path: image(name),
      format: 'qcow2',
      target_format: 'raw',
    });

  for (const [what, work] of [
    ['ResizeImage', () => change('ResizeImage', { size: '5M' })],
    [
      'ResizeImage, which preallocates',
      () => change('ResizeImage', { size: '5M', preallocation: 'PREALLOCATION_FULL' }),
    ],
    [
      'ResizeImage, which shrinks',
      () => change('ResizeImage', { size: '1M', allow_shrink: true, allow_dependants: true }),
    ],
    ['ResizeImage of a copy', () => change('ResizeImage', { size: '5M', safe_copy: true })],
    ['ResizeImage of what is backed by it', () => change('ResizeImage', { path: image('overlay'), size: '5M' })],
    ['CreateSnapshot', () => change('CreateSnapshot', { snapshot: 'two' })],
    ['DeleteSnapshot', () => snapshot('DeleteSnapshot')],
    ['RevertSnapshot', () => snapshot('RevertSnapshot')],
    ['CheckImage, which repairs leaks', () => change('CheckImage', { repair: 'REPAIR_MODE_LEAKS' })],
    ['CheckImage, which repairs all', () => change('CheckImage', { repair: 'REPAIR_MODE_ALL' })],
    [
      'CommitImage into it',
      () => run('CommitImage', { path: image('overlay'), format: 'qcow2', allow_dependants: true }),
    ],
    [
      'RebaseImage by name alone',
      () => overlay('RebaseImage', { backing_file: image('other'), backing_format: 'raw', header_only: true }),
    ],
    [
      'CreateOverlay',
      () => run('CreateOverlay', { path: image('out'), backing_file: image('cut'), backing_format: 'qcow2' }),
    ],
    [
      'CreateOverlay on what is backed by it',
      () =>
        run('CreateOverlay', {
          path: image('out'),
          backing_file: image('overlay'),
          backing_format: 'qcow2',
          allow_chain: true,
        }),
    ],
    ['FetchImage, kept as it is', () => fetch()],
    ['FetchImage to raw', () => fetch({ target_format: 'raw' })],
    ['FetchImage into the cache', () => fetch({ use_cache: true })],
    [
      'FetchImage of a file of this host',
      () => run('FetchImage', { source: { file: { path: image('cut') } }, target: image('out') }),
    ],
    ['UploadImage', upload],
    ['ConvertImage out of a drop folder', () => convert(drop('cut'))],
    ['CopyImage out of a drop folder', () => run('CopyImage', { source: drop('cut'), target: image('out') })],
    ['ConvertImage', () => convert(image('cut'))],
    ['ConvertImage of what is backed by it', () => convert(image('overlay'))],
    [
      'ExtractSnapshot',
      () =>
        run('ExtractSnapshot', {
          path: image('cut'),
          source_format: 'qcow2',
          target: image('out'),
          target_format: 'raw',
        }),
    ],
    [
      'CompareImages',
      () =>
        run('CompareImages', {
          first: image('disk'),
          first_format: 'raw',
          second: image('cut'),
          second_format: 'qcow2',
        }),
    ],
    ['MapImage', () => map('cut')],
    ['MapImage of what is backed by it', () => map('overlay')],
    ['MeasureImage', () => measure('cut-snapshot')],
    ['MeasureImage of what is backed by it', () => measure('overlay')],
    ['CommitImage', () => overlay('CommitImage')],
    ['RebaseImage to none', () => overlay('RebaseImage')],
    [
      'RebaseImage onto it',
      () =>
        run('RebaseImage', {
          path: image('overlay'),
          format: 'qcow2',
          backing_file: image('disk'),
          backing_format: 'raw',
        }),
    ],
  ] as const)
    it(`${what}: IMAGE_MALFORMED`, async () => {
      const { reason, message, metadata } = await failure(work());
      assert.equal(reason, 'IMAGE_MALFORMED', message);
      assert.match(message, /bytes are missing$/);
      assert.ok(Number(metadata['missing_bytes']) > 0);
    });

  for (const [format, options] of [
    ['qcow2', []],
    ['qcow2', ['-c']],
    ['qcow', []],
    ['qed', []],
    ['vdi', []],
    ['vmdk', []],
    ['vmdk', ['-o', 'subformat=streamOptimized']],
    ['vpc', []],
    ['vhdx', ['-o', 'block_size=1M']],
    ['parallels', []],
  ] as const)
    it(`CheckImage, which repairs nothing, finds it: ${format} ${options.join(' ')}`, async () => {
      const path = image(`check.${format}`);
      await sh('qemu-img', 'convert', '-f', 'raw', '-O', format, ...options, scratch.path('disk'), path);
      const whole = (await stat(path)).size;
      for (const length of [whole - MIB, whole - 2 * MIB]) {
        await truncate(path, length);
        const { check, warning } = await checked(path, format);
        assert.notEqual(check['clean'], true);
        assert.ok(Number(check['corruptions']) > 0);
        assert.match(warning, /bytes are missing$/);
      }
      await rm(path);
    });

  it('as bytes it is copied as it is', async () => {
    await run('CopyImage', { source: image('cut'), target: image('copy') });
    assert.ok((await readFile(image('copy'))).equals(cut));
  });
});
