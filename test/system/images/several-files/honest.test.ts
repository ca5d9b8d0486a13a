/**
 * VMDKs of several files in a trusted root are read as one disk, however their descriptor says it.
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { checkEach } from '../../../support/check-each.js';
import { Daemon, suiteDaemon } from '../../../support/daemon.js';
import { noise, sparseFile } from '../../../support/images/disks.js';
import { needsSandbox } from '../../../support/sandbox.js';
import { scratchFolder } from '../../../support/scratch.js';
import { sh } from '../../../support/shell.js';
import type { Message } from '../../../support/stranger.js';
import { descriptor, SECTOR, sparseExtent } from '../../../support/images/vmdk-files.js';

const [KIB, MIB] = [1 << 10, 1 << 20];
const SUBFORMATS = ['monolithicFlat', 'twoGbMaxExtentFlat', 'twoGbMaxExtentSparse'];

describe('VMDKs of several files', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  const daemon = suiteDaemon(scratch);
  const at = (name: string) => daemon.get().image(name);
  const run = (rpc: string, request: Message) => daemon.get().stranger.operation(`ImageService/${rpc}`, request);
  const convert = (source: string, source_format = 'vmdk', target_format = 'raw') =>
    run('ConvertImage', { source, source_format, target: at('out'), target_format, overwrite: true });
  const reads = async (path: string, wanted: Buffer, format = 'vmdk') => {
    await convert(path, format);
    const content = await readFile(at('out'));
    assert.equal(content.length, wanted.length);
    assert.ok(content.equals(wanted), 'the bytes are those of the disk');
  };

  checkEach(async () => assert.deepEqual(await daemon.get().leftovers(), []));

  for (const subformat of SUBFORMATS)
    it(`${subformat} of 5 GiB by qemu-img: every verb that reads`, async () => {
      // Around the ends of the files, of 2 GiB each.
      const data = [0, 2048 * MIB - MIB, 4096 * MIB - 64 * KIB, 5120 * MIB - MIB].map((from) => ({
        at: from,
        length: MIB,
      }));
      await sparseFile(at('disk'), 5120 * MIB, data);
      const path = at(`${subformat}.vmdk`);
      await sh('qemu-img', 'convert', '-f', 'raw', '-O', 'vmdk', '-o', `subformat=${subformat}`, at('disk'), path);
      await convert(path);
      const same = { first: at('disk'), first_format: 'raw' };
      await sh('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', at('disk'), at('out'));
      const { compare } = (await run('CompareImages', { ...same, second: path, second_format: 'vmdk' })) as {
        compare: Message;
      };
      assert.equal(compare['equal'], true);
      const { stranger } = daemon.get();
      const described = { path, format: 'vmdk' };
      const { info } = (await stranger.unary('ImageService/GetImageInfo', { ...described, backing_chain: true })) as {
        info: Message;
      };
      assert.deepEqual([info['virtual_size_bytes'], info['subformat']], [String(5120 * MIB), subformat]);
      const pages = (await stranger.all('ImageService/MapImage', described)) as { extents: Message[] }[];
      const extents = pages.flatMap((page) => page.extents);
      const end = extents.reduce((to, extent) => {
        assert.equal(Number(extent['offset_bytes'] ?? 0), to);
        assert.equal(extent['file_offset_bytes'], undefined);
        return to + Number(extent['length_bytes']);
      }, 0);
      assert.equal(end, 5120 * MIB);
      const measured = await stranger.unary('ImageService/MeasureImage', { ...described, target_format: 'raw' });
      assert.equal(measured['required_bytes'], String(5120 * MIB));
      await run('DeleteImage', { path });
    });

  it('lines in any order, with any ends, over one file or many; zeros, and what is read-only', async () => {
    const disk = noise(9 * MIB);
    const part = (from: number, to: number) => disk.subarray(from * MIB, to * MIB);
    const zeros = (length: number) => Buffer.alloc(length);
    await writeFile(at('f1, é x'), part(0, 3));
    await writeFile(at('f2'), part(3, 6));
    await sparseExtent(at('s1'), part(6, 9));
    const name = 'f1, é x';
    const cases: [string, string[], Buffer[]][] = [
      ['in the order of the disk', [`RW 6144 FLAT "${name}" 0`, 'RW 6144 FLAT "f2" 0'], [part(0, 6)]],
      ['the second file first', ['RW 6144 FLAT "f2" 0', `RW 6144 FLAT "${name}" 0`], [part(3, 6), part(0, 3)]],
      ['read-only', ['RDONLY 6144 FLAT "f2" 0', 'RW 2048 FLAT "f2" 0'], [part(3, 6), part(3, 4)]],
      [
        'offsets',
        ['RW 2048 FLAT "f2" 4096', 'RW 2048 FLAT "f2" 0', 'RW 2 FLAT "f2" 2047'],
        [part(5, 6), part(3, 4), part(3, 6).subarray(2047 * SECTOR, 2049 * SECTOR)],
      ],
      ['VMFS', ['RW 6144 VMFS "f2"'], [part(3, 6)]],
      [
        'zeros between',
        ['RW 2048 FLAT "f2" 0', 'RW 3 ZERO', 'RW 2048 FLAT "f2" 2048'],
        [part(3, 4), zeros(3 * SECTOR), part(4, 5)],
      ],
      [
        'zeros at both ends',
        ['RW 2049 ZERO', 'RW 6144 FLAT "f2" 0', 'RW 1 ZERO'],
        [zeros(2049 * SECTOR), part(3, 6), zeros(SECTOR)],
      ],
      [
        'sparse between flat',
        ['RW 6144 FLAT "f2" 0', 'RW 6144 SPARSE "s1"', 'RW 2048 FLAT "f2" 0'],
        [part(3, 9), part(3, 4)],
      ],
      ['sparse read-only', ['RDONLY 6144 SPARSE "s1"', 'RW 2048 ZERO'], [part(6, 9), zeros(MIB)]],
      ['tabs and blanks', ['  RW\t6144  FLAT \t"f2"  0  '], [part(3, 6)]],
      ['an empty line before', ['', 'RW 6144 FLAT "f2" 0', '', '', 'RW 2048 FLAT "f2" 0'], [part(3, 6), part(3, 4)]],
      ['comments', ['# RW 6144 FLAT "f1" 0', '#RW 1 ZERO', 'RW 6144 FLAT "f2" 0 '], [part(3, 6)]],
      ['no sectors', ['RW 0 FLAT "not there" 0', 'RW 6144 FLAT "f2" 0'], [part(3, 6)]],
    ];
    for (const [n, [what, lines, wanted]] of cases.entries()) {
      const end = n % 2 === 0 ? '\n' : '\r\n';
      await writeFile(at('hand.vmdk'), descriptor(lines, { end, type: 'custom' }));
      await reads(at('hand.vmdk'), Buffer.concat(wanted)).catch((error: unknown) => {
        throw new Error(`${what} ${JSON.stringify(end)}`, { cause: error });
      });
    }
  });

  it('what stands behind the end of the text, and a second word for the same, change nothing', async () => {
    await writeFile(at('data'), noise(MIB));
    const text = descriptor(['RW 2048 FLAT "data" 0']);
    await writeFile(at('nul.vmdk'), `${text}\0RW 2048 FLAT "/etc/shadow" 0\n`);
    await reads(at('nul.vmdk'), noise(MIB));
    await writeFile(at('twice.vmdk'), `${text}createType="monolithicSparse"\nCID=12345678\nversion=3\n`);
    await reads(at('twice.vmdk'), noise(MIB));
  });

  it('terabytes of zeros', async () => {
    await writeFile(at('data'), noise(MIB));
    await writeFile(
      at('zeros.vmdk'),
      descriptor([`RW ${String((3 << 20) * 2 * KIB + 5)} ZERO`, 'RW 2048 FLAT "data" 0']),
    );
    await convert(at('zeros.vmdk'), 'vmdk', 'qcow2');
    const lines = await sh('qemu-img', 'map', '--output=json', '-f', 'qcow2', at('out'));
    const extents = JSON.parse(lines) as { start: number; length: number; data: boolean }[];
    const { start, length } = extents.findLast(({ data }) => data) ?? assert.fail('there is no data');
    assert.ok(start + length >= 3 * 1024 * 1024 * MIB + MIB, String(start));
  });

  it('below an image: deltas of VMware and qcow2', async () => {
    await writeFile(at('disk'), noise(3 * MIB));
    const [base, delta, top] = [at('base.vmdk'), at('delta.vmdk'), at('top.qcow2')];
    await sh('qemu-img', 'convert', '-f', 'raw', '-O', 'vmdk', '-o', 'subformat=monolithicFlat', at('disk'), base);
    const options = ['-o', 'subformat=twoGbMaxExtentSparse'];
    await sh('qemu-img', 'create', '-q', '-f', 'vmdk', ...options, '-F', 'vmdk', '-b', base, delta, '3M');
    await sh('qemu-io', '-f', 'vmdk', '-c', 'write -P 7 1M 64k', delta);
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'vmdk', '-b', delta, top);
    await sh('qemu-io', '-f', 'qcow2', '-c', 'write -P 8 2M 64k', top);
    const wanted = noise(3 * MIB);
    await reads(base, wanted);
    wanted.fill(7, MIB, MIB + 64 * KIB);
    await reads(delta, wanted);
    wanted.fill(8, 2 * MIB, 2 * MIB + 64 * KIB);
    await reads(top, wanted, 'qcow2');
    await run('RebaseImage', { path: top, format: 'qcow2' });
    await sh('rm', base, at('base-flat.vmdk'), delta, at('delta-s001.vmdk'));
    await reads(top, wanted, 'qcow2');
  });

  it('a terabyte in files of 2 GiB', async () => {
    const count = 512;
    const lines = Array.from(
      { length: count },
      (_, n) => `RW 4194304 FLAT "many-f${String(n + 1).padStart(3, '0')}.vmdk" 0`,
    );
    for (let n = 1; n <= count; n++)
      await sparseFile(
        at(`many-f${String(n).padStart(3, '0')}.vmdk`),
        2048 * MIB,
        n % 100 === 0 ? [{ at: MIB, length: 4096 }] : [],
      );
    await writeFile(at('many.vmdk'), descriptor(lines));
    const request = { path: at('many.vmdk'), format: 'vmdk' };
    const pages = (await daemon.get().stranger.all('ImageService/MapImage', request)) as { extents: Message[] }[];
    const data = pages
      .flatMap(({ extents }) => extents)
      .filter(({ data: given, zero }) => given === true && zero !== true);
    const wanted = [100, 200, 300, 400, 500].map((n) => String((n - 1) * 2048 * MIB + MIB));
    assert.deepEqual(
      data.map((extent) => extent['offset_bytes']),
      wanted,
    );
  });

  it('without a sandbox too', async () => {
    const other = await Daemon.start(scratch.path('bare'), { toml: '[sandbox]\nmode = "off"\n' });
    scratch.onEnd(() => other.stop());
    await writeFile(other.image('data'), noise(MIB));
    await writeFile(other.image('bare.vmdk'), descriptor(['RW 2048 FLAT "data" 0', 'RW 3 ZERO']));
    const request = { source: other.image('bare.vmdk'), source_format: 'vmdk', target: other.image('out') };
    await other.stranger.operation('ImageService/ConvertImage', { ...request, target_format: 'raw' });
    const content = await readFile(other.image('out'));
    assert.ok(content.equals(Buffer.concat([noise(MIB), Buffer.alloc(3 * SECTOR)])));
  });
});
