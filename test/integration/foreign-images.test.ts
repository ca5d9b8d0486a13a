/**
 * What an untrusted image may be: the policy on its own, with images made by the tools that people
 * use.
 */
import assert from 'node:assert/strict';
import { open, readFile, writeFile } from 'node:fs/promises';
import { LocalFiles } from '../../src/adapters/files/files.js';
import { asAddress } from '../../src/domain/model/address.js';
import { assertToolAgrees } from '../../src/domain/images/image-policy.js';
import type { ImageFormat } from '../../src/domain/model/image-format.js';
import type { ImageFacts } from '../../src/domain/model/image-info.js';
import { TableWalk } from '../../src/adapters/qemu/table-walk.js';
import { ImageReader } from '../../src/domain/images/read-image.js';
import { noise } from '../support/images/disks.js';
import { needs } from '../support/needs.js';
import { scratchFolder } from '../support/scratch.js';
import { sh, tryRun } from '../support/shell.js';
import type { Paths } from '../../src/domain/ports/paths.js';

describe('untrusted images', () => {
  const scratch = scratchFolder();
  const never = () => assert.fail('nothing that a header names is looked for');
  const paths: Paths = {
    ...{ source: never, named: never, entry: never, place: never, target: never },
    assertNameable: never,
  };
  const reader = new ImageReader({
    paths,
    files: new LocalFiles(),
    wholeness: new TableWalk(),
    foreign: { allowed: true, maxBytes: 1n << 40n },
    onRaw: () => undefined,
  });
  const judge = async (path: string, declared: ImageFormat): Promise<ImageFacts> => {
    const file = await open(path);
    try {
      return await reader.foreign(
        { address: asAddress(path), handle: { fd: file.fd, close: () => file.close() } },
        declared,
      );
    } finally {
      await file.close();
    }
  };
  const refused = async (path: string, declared: ImageFormat) => {
    const error = await judge(path, declared).then(
      () => assert.fail(`${path} was accepted as ${declared}`),
      (caught: unknown) => caught as { reason: string; facts: Record<string, string> },
    );
    return error.reason === 'IMAGE_UNSAFE' ? error.facts['findings'] : error.reason;
  };
  const create = async (format: string, size: string, ...options: string[]) => {
    const path = scratch.path(`${format}-${size}-${options.join('-').replaceAll(/[^\w]/g, '')}.${format}`);
    await sh('qemu-img', 'create', '-q', '-f', format, ...options, path, size);
    return path;
  };
  const patched = async (from: string, name: string, offset: number, bytes: Buffer | string) => {
    const content = await readFile(from);
    Buffer.from(bytes).copy(content, offset);
    await writeFile(scratch.path(name), content);
    return scratch.path(name);
  };
  const u64 = (value: bigint) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(value);
    return bytes;
  };
  const u32le = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    return bytes;
  };

  for (const [format, options] of [
    ['qcow2', []],
    ['qcow2', ['-o', 'compat=0.10,cluster_size=4096']],
    ['qcow', []],
    ['qed', []],
    ['vdi', []],
    ['vmdk', []],
    ['vmdk', ['-o', 'subformat=streamOptimized']],
    ['vpc', []],
    ['vpc', ['-o', 'subformat=fixed']],
    ['vhdx', []],
    ['parallels', []],
    ['raw', []],
  ] as const)
    it(`${format} ${options.join(' ')} is taken as that, and as nothing else`, async () => {
      const path = await create(format, '40M', ...options);
      assert.equal((await judge(path, format)).format, format);
      for (const other of ['raw', 'qcow2', 'vmdk', 'vpc'] as const)
        if (other !== format) assert.equal(await refused(path, other), 'FORMAT_MISMATCH', other);
    });

  it('a base, another file with the data, a descriptor', async () => {
    await writeFile(scratch.path('base'), noise(1 << 16));
    const overlay = await create('qcow2', '1M', '-F', 'raw', '-b', scratch.path('base'));
    assert.equal(await refused(overlay, 'qcow2'), 'NAMES_OTHER_FILES');
    const external = await create('qcow2', '2M', '-o', `data_file=${scratch.path('data')}`);
    assert.equal(await refused(external, 'qcow2'), 'EXTERNAL_DATA_FILE');
    const flat = await create('vmdk', '2M', '-o', 'subformat=monolithicFlat');
    assert.equal(await refused(flat, 'vmdk'), 'NAMES_OTHER_FILES');
    const child = await create('vmdk', '40M', '-F', 'vmdk', '-b', await create('vmdk', '40M'));
    assert.equal(await refused(child, 'vmdk'), 'NAMES_OTHER_FILES');
  });

  it('several formats at once', async () => {
    const iso = await patched(await create('qcow2', '1M'), 'iso.qcow2', 0x8001, 'CD001');
    assert.equal(await refused(iso, 'qcow2'), 'SEVERAL_FORMATS');
    assert.equal(await refused(iso, 'raw'), 'FORMAT_MISMATCH');
    const footer = Buffer.concat([await readFile(await create('qcow2', '1M')), Buffer.from('koly'.padEnd(512, '\0'))]);
    await writeFile(scratch.path('dmg.qcow2'), footer);
    assert.equal(await refused(scratch.path('dmg.qcow2'), 'qcow2'), 'SEVERAL_FORMATS');
    const mbr = Buffer.alloc(66);
    Buffer.from('80000000830000000100000001000000', 'hex').copy(mbr);
    mbr.writeUInt16LE(0xaa55, 64);
    assert.equal(
      await refused(await patched(await create('qcow2', '1M'), 'mbr.qcow2', 446, mbr), 'qcow2'),
      'SEVERAL_FORMATS',
    );
  });

  it('tables outside the file, far too large, or too small for the disk', async () => {
    const [qcow2, vdi, vpc] = [await create('qcow2', '1M'), await create('vdi', '40M'), await create('vpc', '40M')];
    assert.equal(await refused(await patched(qcow2, 'away.qcow2', 40, u64(1n << 40n)), 'qcow2'), 'TABLE_OUTSIDE_FILE');
    const entries = Buffer.alloc(4);
    entries.writeUInt32BE(4_000_000);
    assert.match(
      String(await refused(await patched(qcow2, 'wide.qcow2', 36, entries), 'qcow2')),
      /TABLE_OUTSIDE_FILE TABLE_TOO_LARGE/,
    );
    assert.match(
      String(await refused(await patched(vdi, 'wide.vdi', 0x180, u32le(0x1fffffff)), 'vdi')),
      /TABLE_TOO_LARGE/,
    );
    await writeFile(scratch.path('cut.vpc'), (await readFile(vpc)).subarray(0, 1537));
    assert.equal(await refused(scratch.path('cut.vpc'), 'vpc'), 'TABLE_OUTSIDE_FILE');
    const fixed = await readFile(await create('vpc', '40M', '-o', 'subformat=fixed'));
    await writeFile(scratch.path('short.vpc'), fixed.subarray(-1024));
    assert.equal(await refused(scratch.path('short.vpc'), 'vpc'), 'SIZE_BEYOND_FILE');
    const parallels = await create('parallels', '40M');
    assert.equal(
      await refused(await patched(parallels, 'huge.parallels', 36, u32le(0x7fffffff)), 'parallels'),
      'SIZE_BEYOND_FILE',
    );
  });

  it('what nobody makes any more', async () => {
    const bochs = Buffer.alloc(1024);
    bochs.write('Bochs Virtual HD Image');
    await writeFile(scratch.path('bochs'), bochs);
    assert.equal(await refused(scratch.path('bochs'), 'bochs'), 'OBSOLETE_FORMAT');
    const dmg = Buffer.alloc(1024);
    dmg.write('koly', 512);
    await writeFile(scratch.path('dmg'), dmg);
    assert.equal(await refused(scratch.path('dmg'), 'dmg'), 'OBSOLETE_FORMAT');
    assert.equal(await refused(scratch.path('dmg'), 'raw'), 'FORMAT_MISMATCH');
    const esx = Buffer.alloc(1024);
    esx.write('COWD');
    esx.writeUInt32LE(8, 16);
    await writeFile(scratch.path('esx.vmdk'), esx);
    assert.equal(await refused(scratch.path('esx.vmdk'), 'vmdk'), 'NAMES_OTHER_FILES');
  });

  it('LUKS is taken as that or as bytes', async () => {
    const luks = Buffer.alloc(1 << 20);
    luks.write('LUKS\xba\xbe', 0, 'latin1');
    luks.writeUInt16BE(1, 6);
    luks.writeUInt32BE(8, 104);
    await writeFile(scratch.path('luks'), luks);
    assert.equal((await judge(scratch.path('luks'), 'raw')).virtualSizeBytes, 1n << 20n);
    assert.equal((await judge(scratch.path('luks'), 'luks')).virtualSizeBytes, (1n << 20n) - 4096n);
    const both = await patched(scratch.path('luks'), 'luks-iso', 0x8001, 'CD001');
    assert.equal(await refused(both, 'raw'), 'SEVERAL_FORMATS');
  });

  it('partition tables as fdisk and sgdisk make them, whole and torn', async function () {
    const { code: found } = await tryRun('sh', ['-c', 'command -v sfdisk']);
    needs(this, found === 0, 'sfdisk is not installed');
    const disk = async (name: string, script: string) => {
      await sh('truncate', '-s', '64M', scratch.path(name));
      const { code, stderr } = await tryRun('sfdisk', ['-q', scratch.path(name)], { input: script });
      assert.equal(code, 0, stderr);
      return scratch.path(name);
    };
    const mbr = await disk('mbr', 'label: dos\nstart=2048, size=20480, type=83, bootable\nstart=40960, type=83\n');
    const gpt = await disk('gpt', 'label: gpt\nstart=2048, size=20480\nstart=40960\n');
    const logical = await disk(
      'logical',
      'label: dos\nstart=2048, size=8192, type=83\nstart=16384, size=65536, type=5\nstart=18432, size=8192, type=83\n',
    );
    for (const path of [mbr, gpt, logical]) assert.deepEqual((await judge(path, 'raw')).findings, []);
    // Torn ones are told of and let in, as they are inside of a qcow2: no tool of ours reads
    // partitions.
    const told = async (path: string) => (await judge(path, 'raw')).findings.map(({ message }) => message);
    const overlapping = await patched(mbr, 'overlap', 446 + 16 + 8, u32le(4096));
    assert.deepEqual(await told(overlapping), ['partitions of the MBR overlap']);
    await writeFile(scratch.path('cut'), (await readFile(gpt)).subarray(0, 32 << 20));
    assert.deepEqual(await told(scratch.path('cut')), ['the GPT ends beyond the end of the disk']);
    const renamed = await patched(gpt, 'renamed', 1024 + 56, 'x');
    assert.deepEqual(await told(renamed), ['the checksum of the partitions of the GPT is wrong']);
    const unannounced = await patched(gpt, 'unannounced', 446 + 4, Buffer.from([0x83]));
    assert.equal((await told(unannounced)).length, 1);
    const dedicated = await patched(mbr, 'dedicated', 446 + 8, u32le(0));
    assert.deepEqual(await told(dedicated), []);
    // The boot sector of a filesystem has the same last two bytes and no table.
    const sector = Buffer.alloc(1 << 20, 'no table here ');
    sector.writeUInt16LE(0xaa55, 510);
    await writeFile(scratch.path('boot'), sector);
    assert.deepEqual((await judge(scratch.path('boot'), 'raw')).findings, []);
  });

  it('what the tool says must be the same', () => {
    const facts: ImageFacts = {
      format: 'qcow2',
      virtualSizeBytes: 4096n,
      encrypted: false,
      dirty: false,
      corrupt: false,
      snapshots: [],
      findings: [],
    };
    assertToolAgrees('/x', facts, { format: 'qcow2', virtualSizeBytes: 4096n });
    assertToolAgrees('/x', { ...facts, format: 'raw' }, { format: 'luks', virtualSizeBytes: 1n });
    assert.throws(() => assertToolAgrees('/x', facts, { format: 'raw', virtualSizeBytes: 4096n }), {
      reason: 'FORMAT_MISMATCH',
    });
    assert.throws(() => assertToolAgrees('/x', facts, { format: 'qcow2', virtualSizeBytes: 8192n }), {
      reason: 'IMAGE_UNSAFE',
    });
  });
});
