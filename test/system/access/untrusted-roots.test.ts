/** A drop folder: what lies there is untrusted. */
import assert from 'node:assert/strict';
import { chmod, copyFile, mkdir, open, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { checkEach } from '../../support/check-each.js';
import { Daemon, suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const FORMATS = ['raw', 'qcow2', 'vmdk', 'vdi', 'vpc', 'vhdx', 'parallels', 'qed'];

describe('an untrusted root', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  const drop = (name: string) => scratch.path('drop', name);
  /** The base of what lies in the drop folder as an overlay. */
  const secret = () => scratch.path('secret.raw');
  const roots = () =>
    `[[roots]]\npath = "${scratch.path('daemon')}/images"\n[[roots]]\npath = "${scratch.path('drop')}"\ntrusted = false\n`;
  before(async () => {
    await mkdir(scratch.path('drop'));
    await writeFile(scratch.path('disk'), noise(3 << 20));
    for (const format of FORMATS)
      await sh('qemu-img', 'convert', '-f', 'raw', '-O', format, scratch.path('disk'), drop(`good.${format}`));
    await writeFile(drop('odd.raw'), noise(1_000_001));
    await writeFile(secret(), noise(1 << 16));
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', secret(), drop('overlay.qcow2'));
  });
  const daemon = suiteDaemon(scratch, () => ({ roots: roots() }));
  const image = (name: string) => daemon.get().image(name);
  const run = (rpc: string, request: Message) => daemon.get().stranger.operation(`ImageService/${rpc}`, request);
  const convert = (source: string, source_format: string, target: string, target_format = 'raw') =>
    run('ConvertImage', { source, source_format, target, target_format });
  const refused = async (work: Promise<unknown>) => {
    const { reason, metadata } = await failure(work);
    return [reason, metadata['findings']].filter((part) => part !== undefined).join(' ');
  };

  checkEach(async () => {
    assert.deepEqual(await daemon.get().leftovers(), []);
    assert.deepEqual(await daemon.get().leftovers(scratch.path('drop')), []);
  });

  it('GetHostInfo says which root it is', async () => {
    const { roots: said } = (await daemon.get().stranger.unary('HostInfoService/GetHostInfo')) as { roots: Message[] };
    assert.deepEqual(
      said.map(({ trusted = false }) => trusted),
      [true, false],
    );
  });

  for (const format of FORMATS)
    it(`an honest ${format} is taken in and converted`, async () => {
      await convert(drop(`good.${format}`), format, image(`good-${format}`));
      const content = await readFile(image(`good-${format}`));
      assert.ok(content.subarray(0, 3 << 20).equals(noise(3 << 20)));
    });

  it('raw is taken with its exact length; a snapshot is found in what was taken', async () => {
    await run('CopyImage', { source: drop('odd.raw'), target: image('odd.raw') });
    assert.ok((await readFile(image('odd.raw'))).equals(noise(1_000_001)));
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', drop('snap.qcow2'), '1M');
    await sh('qemu-img', 'snapshot', '-c', 'one', drop('snap.qcow2'));
    const request = { path: drop('snap.qcow2'), source_format: 'qcow2', target_format: 'raw' };
    await run('ExtractSnapshot', { ...request, target: image('snap'), snapshot: 'one' });
    assert.equal(
      await refused(run('ExtractSnapshot', { ...request, target: image('no'), snapshot: 'two' })),
      'SNAPSHOT_NOT_FOUND',
    );
  });

  it('a plan says what it would take, and opens nothing', async () => {
    const request = { source: drop('good.qcow2'), source_format: 'qcow2', target: image('planned') };
    const { plan } = (await run('ConvertImage', { ...request, target_format: 'qcow2', plan_only: true })) as {
      plan: { need_bytes: string };
    };
    assert.ok(BigInt(plan.need_bytes) >= 3n << 20n);
  });

  it('what reaches beyond itself, is something else, or is broken does not get in', async () => {
    assert.equal(
      await refused(convert(drop('overlay.qcow2'), 'qcow2', image('leak'))),
      'IMAGE_UNSAFE NAMES_OTHER_FILES',
    );
    const copy = run('CopyImage', { source: drop('overlay.qcow2'), target: image('leak') });
    assert.equal(await refused(copy), 'IMAGE_UNSAFE NAMES_OTHER_FILES');
    assert.equal(await refused(convert(drop('good.qcow2'), 'raw', image('leak'))), 'FORMAT_MISMATCH');
    await copyFile(drop('good.qcow2'), drop('iso.qcow2'));
    const file = await open(drop('iso.qcow2'), 'r+');
    await file.write('CD001', 0x8001);
    await file.close();
    assert.equal(await refused(convert(drop('iso.qcow2'), 'qcow2', image('leak'))), 'IMAGE_UNSAFE SEVERAL_FORMATS');
    await copyFile(drop('good.vpc'), drop('cut.vpc'));
    await truncate(drop('cut.vpc'), 1540);
    assert.equal(await refused(convert(drop('cut.vpc'), 'vpc', image('leak'))), 'IMAGE_UNSAFE TABLE_OUTSIDE_FILE');
    await assert.rejects(stat(image('leak')));
  });

  it('bytes that stay in an untrusted root may be what they are', async () => {
    await run('CopyImage', { source: drop('overlay.qcow2'), target: drop('again.qcow2') });
    await rm(drop('again.qcow2'));
  });

  it('nothing is opened, changed or built on where it lies', async () => {
    const path = drop('good.qcow2');
    const calls: [string, Message][] = [
      ['CreateOverlay', { path: image('child'), backing_file: path, backing_format: 'qcow2' }],
      ['ResizeImage', { path, format: 'qcow2', size: '1G' }],
      ['CheckImage', { path, format: 'qcow2' }],
      ['CreateSnapshot', { path, format: 'qcow2', snapshot: 'x' }],
      ['MapImage', { path, format: 'qcow2' }],
      ['CompareImages', { first: path, first_format: 'qcow2', second: path, second_format: 'qcow2' }],
    ];
    for (const [rpc, request] of calls)
      assert.equal(await refused(daemon.get().stranger.all(`ImageService/${rpc}`, request)), 'IMAGE_UNSAFE', rpc);
    const measure = { path, format: 'qcow2', target_format: 'raw' };
    assert.equal(await refused(daemon.get().stranger.unary('ImageService/MeasureImage', measure)), 'IMAGE_UNSAFE');
    // An image of ours that is backed by one of theirs.
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', path, image('built.qcow2'));
    assert.equal(await refused(convert(image('built.qcow2'), 'qcow2', image('leak'))), 'IMAGE_UNSAFE');
  });

  it('GetImageInfo says what there is, and looks for nothing that it names', async () => {
    const request = { path: drop('overlay.qcow2'), format: 'qcow2', backing_chain: true };
    const answer = (await daemon.get().stranger.unary('ImageService/GetImageInfo', request)) as {
      info: Message;
      backing_chain?: Message[];
    };
    assert.equal(answer.info['backing_file'], secret());
    assert.equal(answer.backing_chain, undefined);
  });

  it('limits for untrusted images end a tool, and the error names them', async () => {
    const small = await Daemon.start(scratch.path('small'), {
      roots: `[[roots]]\npath = "${scratch.path('small')}/images"\n[[roots]]\npath = "${scratch.path('drop')}"\ntrusted = false\n`,
      toml: '[limits.foreign]\nimage_bytes = 2000000\naddress_space_bytes = 40000000\n',
    });
    const to = (name: string, source: string, source_format: string) =>
      small.stranger.operation('ImageService/ConvertImage', {
        source,
        source_format,
        target: small.image(name),
        target_format: 'raw',
      });
    try {
      const large = await failure(to('large', drop('good.raw'), 'raw'));
      assert.deepEqual([large.reason, large.metadata['limit']], ['IMAGE_TOO_LARGE', 'limits.foreign.image_bytes']);
      const starved = await failure(to('starved', drop('odd.raw'), 'raw'));
      assert.deepEqual([starved.reason, starved.metadata['limit']], ['TOOL_LIMIT_EXCEEDED', 'address_space_bytes']);
      assert.deepEqual(await small.leftovers(), []);
    } finally {
      await small.stop();
    }
  });

  it('"auto" without a sandbox that works refuses them, and serves everybody else', async () => {
    await mkdir(scratch.path('tools'));
    await writeFile(scratch.path('tools', 'bwrap'), '#!/bin/sh\necho "bwrap: no namespaces here" >&2\nexit 1\n');
    await chmod(scratch.path('tools', 'bwrap'), 0o755);
    const folder = scratch.path('bare');
    const bare = await Daemon.start(folder, {
      roots: `[[roots]]\npath = "${folder}/images"\n[[roots]]\npath = "${scratch.path('drop')}"\ntrusted = false\n`,
      env: { PATH: `${scratch.path('tools')}:${process.env['PATH'] ?? ''}` },
    });
    const request = {
      source: drop('good.qcow2'),
      source_format: 'qcow2',
      target: bare.image('x'),
      target_format: 'raw',
    };
    try {
      assert.equal(
        (await failure(bare.stranger.operation('ImageService/ConvertImage', request))).reason,
        'SANDBOX_UNAVAILABLE',
      );
      await copyFile(drop('good.qcow2'), bare.image('ours.qcow2'));
      await bare.stranger.operation('ImageService/ConvertImage', { ...request, source: bare.image('ours.qcow2') });
    } finally {
      await bare.stop();
    }
  });
});
