/**
 * VMDKs of several files that reach beyond their folder, are not whole, or are untrusted; and
 * what may not be done to their files.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readFile, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { begun } from '../../../support/begun.js';
import { checkEach } from '../../../support/check-each.js';
import { suiteDaemon } from '../../../support/daemon.js';
import { noise } from '../../../support/images/disks.js';
import { whileHeld } from '../../../support/processes.js';
import { needsSandbox } from '../../../support/sandbox.js';
import { scratchFolder } from '../../../support/scratch.js';
import { sh } from '../../../support/shell.js';
import { failure, type Message } from '../../../support/stranger.js';
import { descriptor, SECTOR, sparseExtent } from '../../../support/images/vmdk-files.js';

const MIB = 1 << 20;

describe('VMDKs of several files that are refused', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  before(() => mkdir(scratch.path('drop')));
  const drop = (name: string) => scratch.path('drop', name);
  const daemon = suiteDaemon(scratch, () => ({
    roots: `[[roots]]\npath = "${scratch.path('daemon')}/images"\n[[roots]]\npath = "${scratch.path('drop')}"\ntrusted = false\n`,
  }));
  const at = (name: string) => daemon.get().image(name);
  const run = (rpc: string, request: Message) => daemon.get().stranger.operation(`ImageService/${rpc}`, request);
  const convert = (source: string, more: Message = {}) =>
    run('ConvertImage', { source, source_format: 'vmdk', target: at('out'), target_format: 'raw', ...more });
  const compare = (first: string) =>
    run('CompareImages', { first, first_format: 'vmdk', second: at('data'), second_format: 'raw' });
  /** By each verb that would read it. */
  const refused = async (lines: readonly string[], reason: string, words = '') => {
    const path = at('refused.vmdk');
    await writeFile(path, descriptor(lines));
    const map = () => daemon.get().stranger.all('ImageService/MapImage', { path, format: 'vmdk' });
    for (const work of [() => convert(path), () => compare(path), map]) {
      const error = await failure(work());
      assert.equal(error.reason, reason, `${lines.join(' ')}: ${error.message}`);
      assert.ok(error.message.includes(words), error.message);
    }
    assert.ok(!existsSync(at('out')));
  };

  before(async () => {
    await writeFile(scratch.path('secret'), noise(MIB, 7));
    await writeFile(at('data'), noise(MIB));
    await mkdir(at('folder'));
    await writeFile(at('folder/inside'), noise(MIB));
    await writeFile(drop('data'), noise(MIB));
    await symlink(scratch.path('secret'), at('led outside'));
    await symlink(drop('data'), at('led to a drop folder'));
    await sh('mkfifo', at('fifo'));
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', at('other format'), '1M');
    await sparseExtent(at('sparse'), noise(MIB));
    await sparseExtent(at('odd'), noise(MIB + SECTOR));
    await writeFile(at('named as an extent'), descriptor(['RW 2048 FLAT "data" 0']));
  });
  checkEach(async () => assert.deepEqual(await daemon.get().leftovers(), []));

  it('what is no file of its folder', async () => {
    for (const name of [
      scratch.path('secret'),
      '../secret',
      '../images/data',
      './data',
      'folder/inside',
      '..',
      '.',
      '',
      '/dev/null',
      'x'.repeat(256),
    ])
      await refused([`RW 2048 FLAT "${name}" 0`], 'IMAGE_UNSAFE', 'no file of its folder');
    await refused(['RW 2048 FLAT "led outside" 0'], 'PATH_OUTSIDE_ROOTS');
    await refused(['RW 2048 FLAT "led to a drop folder" 0'], 'PATH_OUTSIDE_ROOTS');
    await refused(['RW 2048 FLAT "folder" 0'], 'NOT_A_FILE');
    await refused(['RW 2048 FLAT "fifo" 0'], 'NOT_A_FILE');
    await refused(['RW 1 FLAT "refused.vmdk" 0'], 'IMAGE_UNSAFE', 'itself');
    await refused(['RW 2048 FLAT "data" 0', 'RW 2048 FLAT "not there" 0'], 'IMAGE_NOT_FOUND', 'not there');
  });

  it('a line that is not understood is never left out', async () => {
    for (const line of [
      'NOACCESS 2048 FLAT "data" 0',
      'NOACCESS 2048 ZERO',
      'rw 2048 FLAT "data" 0',
      'RW 2048 flat "data" 0',
      'RW 2048 FLAT "data"',
      'RW 2048 FLAT data 0',
      "RW 2048 FLAT 'data' 0",
      'RW 2048 FLAT "data" -1',
      'RW 2048 FLAT "data" 0 partitionUUID data',
      'RW 2048 FLAT "data" 0x0',
      'RW 2048 VMFS "data" 0',
      'RW 2048 SPARSE "sparse" 0',
      'RW 2048 ZERO "data"',
      'RW 2048 VMFSSPARSE "sparse"',
      'RW 2048 SESPARSE "sparse"',
      'RW 2048 VMFSRDM "data"',
      'RW 2048 vmfsRaw "data"',
      'RW -1 ZERO',
      'RW 99999999999999999 ZERO',
      'RW 2048',
      'RW\u00a02048 ZERO "data"',
    ])
      await refused(['RW 2048 FLAT "data" 0', line], 'IMAGE_UNSAFE', 'is of no kind that is read here');
    await refused(['RW 0 FLAT "data" 0'], 'IMAGE_UNSAFE', 'no sectors');
    await refused(Array<string>(513).fill('RW 1 FLAT "data" 0'), 'IMAGE_UNSAFE', 'more than 512 extents');
    await refused(['# RW 2048 FLAT "data" 0'], 'IMAGE_MALFORMED', 'no extent');
    const latin = Buffer.from(descriptor(['RW 2048 FLAT "d\u00e4ta" 0']), 'latin1');
    await writeFile(at('latin.vmdk'), latin);
    assert.equal((await failure(convert(at('latin.vmdk')))).reason, 'IMAGE_UNSAFE');
  });

  it('a sparse extent that is something else than its descriptor says', async () => {
    await refused(['RW 2048 SPARSE "named as an extent"'], 'IMAGE_UNSAFE', 'names other files itself');
    await refused(['RW 2048 SPARSE "other format"'], 'IMAGE_MALFORMED', 'other format is qcow2');
    await refused(['RW 2048 SPARSE "data"'], 'IMAGE_MALFORMED', 'data is raw');
    for (const sectors of [2047, 2049, 1])
      await refused([`RW ${String(sectors)} SPARSE "sparse"`], 'IMAGE_MALFORMED', 'its descriptor says');
    await refused(['RW 2049 SPARSE "odd"', 'RW 1 ZERO'], 'IMAGE_MALFORMED', 'within a grain');
    await writeFile(at('last.vmdk'), descriptor(['RW 1 ZERO', 'RW 2049 SPARSE "odd"']));
    await convert(at('last.vmdk'), { target: at('last') });
    assert.ok((await readFile(at('last'))).equals(Buffer.concat([Buffer.alloc(SECTOR), noise(MIB + SECTOR)])));
  });

  it('an extent that was cut', async () => {
    await writeFile(at('short'), noise(MIB));
    for (const length of [MIB - 1, MIB - SECTOR, MIB / 2, 0]) {
      await truncate(at('short'), length);
      await refused(['RW 2048 FLAT "short" 0', 'RW 2048 FLAT "data" 0'], 'IMAGE_MALFORMED', 'bytes are missing');
    }
    await refused(['RW 2048 FLAT "data" 1'], 'IMAGE_MALFORMED', '512 bytes are missing');
    await refused(['RW 1 FLAT "data" 9999999999999999'], 'IMAGE_MALFORMED', 'bytes are missing');
    const whole = await readFile(at('sparse'));
    const path = at('cut.vmdk');
    await writeFile(path, descriptor(['RW 2048 SPARSE "cut"', 'RW 2048 FLAT "data" 0']));
    for (const length of [whole.length - 1, whole.length - 65536, whole.length / 2, 70_000, 512]) {
      await writeFile(at('cut'), whole.subarray(0, length));
      for (const work of [convert, compare]) {
        const error = await failure(work(path));
        assert.equal(error.reason, 'IMAGE_MALFORMED', `${String(length)}: ${error.message}`);
      }
    }
    assert.ok(!existsSync(at('out')));
  });

  it('an untrusted one stays refused for what it is', async () => {
    for (const [name, lines] of [
      ['flat.vmdk', ['RW 2048 FLAT "data" 0']],
      ['zero.vmdk', ['RW 2048 ZERO']],
    ] as const) {
      await writeFile(drop(name), descriptor(lines));
      const target = at('out');
      for (const work of [
        () => convert(drop(name)),
        () => run('FetchImage', { source: { file: { path: drop(name) } }, target }),
        () => run('CopyImage', { source: drop(name), target }),
        () => compare(drop(name)),
      ]) {
        const error = await failure(work());
        assert.equal(error.reason, 'IMAGE_UNSAFE', error.message);
      }
      await writeFile(at(name), descriptor(lines));
      const ours = run('FetchImage', { source: { file: { path: at(name) } }, target: at('out') });
      assert.equal((await failure(ours)).metadata['findings'], 'NAMES_OTHER_FILES');
    }
  });

  it('its files are needed by it', async () => {
    for (const name of ['one', 'two']) await writeFile(at(name), noise(MIB));
    await sparseExtent(at('three'), noise(MIB));
    await writeFile(
      at('needs.vmdk'),
      descriptor(['RW 2048 FLAT "one" 0', 'RW 2048 FLAT "two" 0', 'RW 2048 SPARSE "three"']),
    );
    for (const name of ['one', 'two', 'three']) {
      const wipe = { path: at(name), mode: 'WIPE_MODE_ZERO' };
      const create = { path: at(name), format: 'raw', size: '1M', overwrite: true };
      for (const [rpc, request] of [
        ['DeleteImage', { path: at(name) }],
        ['WipeImage', wipe],
        ['CreateImage', create],
      ] as const) {
        const error = await failure(run(rpc, request));
        assert.equal(error.reason, 'IMAGE_HAS_DEPENDANTS', `${name}: ${error.message}`);
        assert.equal(error.metadata['dependants'], at('needs.vmdk'));
      }
    }
    await run('DeleteImage', { path: at('needs.vmdk') });
    // One that is not read here may be somebody's disk all the same.
    for (const line of [`RW 2048 FLAT "${at('one')}" 0`, 'RW 1 VMFSSPARSE "one"', 'RW 1 FLAT "../images/one" 0 uuid']) {
      await writeFile(at('others.vmdk'), descriptor(['RW 1 ZERO', line]));
      const error = await failure(run('DeleteImage', { path: at('one') }));
      assert.equal(error.metadata['dependants'], at('others.vmdk'), line);
    }
    await run('DeleteImage', { path: at('others.vmdk') });
    for (const name of ['one', 'two', 'three']) await run('DeleteImage', { path: at(name) });
  });

  it('it is neither changed nor a base', async () => {
    const path = at('still.vmdk');
    await writeFile(path, descriptor(['RW 2048 FLAT "data" 0']));
    const before = await readFile(path);
    const described = { path, format: 'vmdk' };
    await sh('qemu-img', 'create', '-q', '-u', '-f', 'qcow2', '-F', 'vmdk', '-b', path, at('over.qcow2'), '1M');
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', at('alone.qcow2'), '1M');
    for (const [rpc, request] of [
      ['ResizeImage', { ...described, size: '2M' }],
      ['RebaseImage', described],
      ['CheckImage', { ...described, repair: 'REPAIR_MODE_ALL' }],
      ['CommitImage', { path: at('over.qcow2'), format: 'qcow2' }],
      ['CreateOverlay', { path: at('new'), backing_file: path, backing_format: 'vmdk' }],
      ['RebaseImage', { path: at('alone.qcow2'), format: 'qcow2', backing_file: path, backing_format: 'vmdk' }],
    ] as const) {
      const error = await failure(run(rpc, request));
      assert.equal(error.reason, 'UNSUPPORTED_BY_BACKEND', `${rpc}: ${error.message}`);
      assert.ok(error.message.includes('several files'), error.message);
    }
    await run('CheckImage', described);
    assert.ok((await readFile(path)).equals(before));
    assert.ok((await readFile(at('data'))).equals(noise(MIB)));
    await sh('rm', at('over.qcow2'));
  });

  it('an extent that a guest writes, that is the target, or that changes while it is read', async () => {
    await writeFile(at('busy'), noise(4 * MIB));
    const path = at('busy.vmdk');
    await writeFile(path, descriptor(['RW 2048 FLAT "data" 0', 'RW 8192 FLAT "busy" 0']));
    await whileHeld(
      at('busy'),
      scratch.path('nbd'),
      async () => assert.equal((await failure(convert(path))).reason, 'IMAGE_IN_USE'),
      ['-f', 'raw'],
    );
    const same = await failure(convert(path, { target: at('busy'), overwrite: true, allow_dependants: true }));
    assert.equal(same.reason, 'SAME_FILE');
    const slow = { source: path, source_format: 'vmdk', target: at('out'), target_format: 'raw' };
    const more = { ...slow, bandwidth_bytes_per_second: String(2 * MIB) };
    const { failed } = await begun(daemon.get().stranger, 'ImageService/ConvertImage', more);
    const busy = await failure(run('WipeImage', { path: at('busy'), mode: 'WIPE_MODE_ZERO', allow_dependants: true }));
    assert.equal(busy.reason, 'PATH_BUSY');
    await utimes(at('busy'), 1, 1);
    assert.equal((await failed).reason, 'SOURCE_CHANGED');
    assert.ok(!existsSync(at('out')));
  });
});
