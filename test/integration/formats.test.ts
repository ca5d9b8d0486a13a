/** Our readers beside qemu-img: every format and option that it can make, field by field. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import type { ImageFacts } from '../../src/domain/model/image-info.js';
import { noise } from '../support/images/disks.js';
import { readHeaderOf } from '../support/header.js';
import { scratchFolder } from '../support/scratch.js';
import { sh, tryRun } from '../support/shell.js';

interface QemuInfo {
  readonly format: string;
  readonly 'virtual-size': number;
  readonly 'cluster-size'?: number;
  readonly 'backing-filename'?: string;
  readonly 'backing-filename-format'?: string;
  readonly encrypted?: boolean;
  readonly 'dirty-flag'?: boolean;
  readonly snapshots?: readonly { readonly id: string; readonly name: string }[];
  readonly 'format-specific'?: { readonly data: Readonly<Record<string, unknown>> };
}

const LUKS = ['--object', 'secret,id=s,data=hunter2'];
const sizes = ['1', '1M', '10000000', '3G', '2040G'];

/** Format, and the options with which an image of it is made. */
const corpus: [string, string[]][] = [
  ...['qcow2', 'qcow', 'qed', 'vdi', 'vmdk', 'vpc', 'vhdx', 'parallels'].flatMap((format) =>
    sizes.filter((size) => !(format === 'qcow' && size === '1')).map((size): [string, string[]] => [format, [size]]),
  ),
  ...[
    'compat=0.10',
    'cluster_size=512',
    'cluster_size=2M',
    'lazy_refcounts=on',
    'extended_l2=on',
    'refcount_bits=1',
    'refcount_bits=64',
    'compression_type=zstd',
    'preallocation=metadata',
  ].map((option): [string, string[]] => ['qcow2', ['-o', option, '64M']]),
  ['qcow2', [...LUKS, '-o', 'encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10', '1M']],
  ['luks', [...LUKS, '-o', 'key-secret=s,iter-time=10', '1M']],
  ['luks', [...LUKS, '-o', 'key-secret=s,iter-time=10,cipher-alg=aes-128,hash-alg=sha512', '10M']],
  ...['cluster_size=4096', 'cluster_size=1M', 'table_size=2'].map((option): [string, string[]] => [
    'qed',
    ['-o', option, '64M'],
  ]),
  ['vdi', ['-o', 'static=on', '5M']],
  ...['monolithicSparse', 'monolithicFlat', 'twoGbMaxExtentSparse', 'twoGbMaxExtentFlat', 'streamOptimized'].flatMap(
    (kind): [string, string[]][] => [
      ['vmdk', ['-o', `subformat=${kind}`, '5G']],
      ['vmdk', ['-o', `subformat=${kind}`, '1M']],
    ],
  ),
  ['vmdk', ['-o', 'zeroed_grain=on,compat6=on', '1M']],
  ...['subformat=dynamic', 'subformat=fixed', 'subformat=dynamic,force_size=on', 'subformat=fixed,force_size=on'].map(
    (option): [string, string[]] => ['vpc', ['-o', option, '12345K']],
  ),
  ...['block_size=1M', 'block_size=256M', 'log_size=2M', 'subformat=fixed'].map((option): [string, string[]] => [
    'vhdx',
    ['-o', option, '40M'],
  ]),
  ['parallels', ['-o', 'cluster_size=64K', '40M']],
];

/** That other files are named, which is so. */
const TRUE_OF_IT = ['NAMES_OTHER_FILES', 'EXTERNAL_DATA_FILE', 'BACKING_FORMAT_MISSING'];
const namesFiles = ({ findings }: ImageFacts) => findings.some(({ reason }) => reason === 'NAMES_OTHER_FILES');

describe('format readers beside qemu-img', () => {
  const scratch = scratchFolder();
  let made = 0;
  const create = async (format: string, options: readonly string[]) => {
    const path = scratch.path(`${String(++made)}.${format}`);
    const [size = '', ...reversed] = [...options].reverse();
    const args = ['create', '-q', '-f', format, ...reversed.reverse(), path, size];
    // On a busy machine making a LUKS header fails now and then: it measures the processor.
    for (let tries = 1; ; tries++) {
      const { code, stderr } = await tryRun('qemu-img', args);
      if (code === 0) return path;
      assert.ok(tries < 20 && stderr.includes('Unable to get accurate CPU usage'), stderr);
    }
  };
  const agree = async (path: string, format: string) => {
    const qemu = JSON.parse(await sh('qemu-img', 'info', '--output=json', '-f', format, path)) as QemuInfo;
    const ours = await readHeaderOf(path);
    assert.ok(ours !== undefined, 'no format was found');
    const specific = qemu['format-specific']?.data ?? {};
    assert.deepEqual(
      ours.findings.filter(({ reason }) => !TRUE_OF_IT.includes(reason)),
      [],
      'what qemu-img makes is suspected of nothing',
    );
    assert.deepEqual(
      {
        format: ours.format,
        size: ours.virtualSizeBytes,
        // Split sparse extents have it in files that only the descriptor names: those are not
        // opened.
        cluster: namesFiles(ours) ? undefined : ours.clusterSizeBytes,
        backing: ours.backingFile,
        backingFormat: ours.backingFormat,
        encrypted: ours.encrypted,
        dirty: ours.dirty,
        snapshots: ours.snapshots.map(({ id, name }) => ({ id, name })),
        ...(format === 'qcow2'
          ? {
              compat: ours.compat,
              compression: ours.compressionType,
              lazy: ours.lazyRefcounts,
              l2: ours.extendedL2,
              corrupt: ours.corrupt,
              refcountBits: ours.refcountBits,
            }
          : {}),
        ...(format === 'vmdk' ? { subformat: ours.subformat } : {}),
      },
      {
        format: qemu.format,
        size: BigInt(qemu['virtual-size']),
        cluster: namesFiles(ours) || qemu['cluster-size'] === undefined ? undefined : BigInt(qemu['cluster-size']),
        backing: qemu['backing-filename'],
        backingFormat: qemu['backing-filename-format'],
        encrypted: qemu.encrypted ?? false,
        dirty: qemu['dirty-flag'] ?? false,
        snapshots: (qemu.snapshots ?? []).map(({ id, name }) => ({ id, name })),
        ...(format === 'qcow2'
          ? {
              compat: specific['compat'],
              compression: specific['compression-type'],
              lazy: specific['lazy-refcounts'],
              l2: specific['extended-l2'],
              corrupt: specific['corrupt'] ?? false,
              refcountBits: specific['refcount-bits'],
            }
          : {}),
        ...(format === 'vmdk' ? { subformat: specific['create-type'] } : {}),
      },
    );
    return ours;
  };

  for (const [format, options] of corpus) {
    it(`${format} ${options.filter((option) => !LUKS.includes(option)).join(' ')}`, async () => {
      await agree(await create(format, options), format);
    });
  }

  for (const format of ['qcow2', 'qcow', 'qed', 'vmdk']) {
    it(`${format} with a base, absolute and relative`, async () => {
      const base = await create(format, ['8M']);
      for (const name of [base, base.slice(base.lastIndexOf('/') + 1)])
        assert.equal((await agree(await create(format, ['-F', format, '-b', name, '8M']), format)).backingFile, name);
    });
  }
  it('qed and qcow2 on a raw base', async () => {
    await writeFile(scratch.path('base.raw'), noise(1 << 20));
    for (const format of ['qcow2', 'qed']) {
      const path = await create(format, ['-F', 'raw', '-b', scratch.path('base.raw'), '8M']);
      assert.equal((await agree(path, format)).backingFormat, 'raw');
    }
  });
  /** The name of its base, and what else is written into the header, as other programs do. */
  const named = async (compat: string, nameOffset: number, name: string, more: readonly [number, Buffer][] = []) => {
    const path = await create('qcow2', ['-o', `compat=${compat}`, '8M']);
    const header = await readFile(path);
    header.fill(0, compat === '1.1' ? 112 : 72, 4096);
    header.writeBigUInt64BE(BigInt(nameOffset), 8);
    header.writeUInt32BE(name.length, 16);
    header.write(name, nameOffset);
    for (const [at, bytes] of more) bytes.copy(header, at);
    await writeFile(path, header);
    return path;
  };
  /** The extension that says the format of a base. */
  const says = (format: string) => {
    const extension = Buffer.alloc(16);
    extension.writeUInt32BE(0xe2792aca, 0);
    extension.writeUInt32BE(format.length, 4);
    extension.write(format, 8);
    return extension;
  };
  it('qcow2 with the name of its base right behind the header, as old programs write it', async () => {
    for (const [compat, at] of [
      ['0.10', 72],
      ['1.1', 112],
    ] as const)
      for (const name of ['/images/of/ten/years/ago', 'base'])
        assert.equal((await agree(await named(compat, at, name), 'qcow2')).backingFile, name);
  });
  it('qcow2 with extensions before the name of its base, and with what looks like one behind it', async () => {
    const before = await named('0.10', 88, 'base', [[72, says('raw')]]);
    assert.equal((await agree(before, 'qcow2')).backingFormat, 'raw');
    const behind = await named('1.1', 112, 'abcdefgh', [[120, says('raw')]]);
    assert.equal((await agree(behind, 'qcow2')).backingFormat, undefined);
    const both = await named('1.1', 128, 'abcdefgh', [
      [112, says('qcow2')],
      [136, says('raw')],
    ]);
    assert.equal((await agree(both, 'qcow2')).backingFormat, 'qcow2');
  });
  it('qcow2 whose extensions run into the name of its base, or whose name lies elsewhere: neither opens it', async () => {
    const into = await named('1.1', 120, 'base', [[112, says('raw')]]);
    const half = await named('1.1', 116, 'base');
    const unnamed = await named('1.1', 120, '', [[112, says('raw')]]);
    const beyond = await named('1.1', 0, '');
    const header = await readFile(beyond);
    header.writeBigUInt64BE(65_537n, 8);
    await writeFile(beyond, header);
    for (const path of [into, half, unnamed, beyond]) {
      assert.notEqual((await tryRun('qemu-img', ['info', '-f', 'qcow2', path])).code, 0);
      await assert.rejects(readHeaderOf(path), { reason: 'IMAGE_MALFORMED' });
    }
  });
  it('qcow2 with snapshots of odd names, with data, and an external data file', async () => {
    const path = await create('qcow2', ['8M']);
    for (const name of ['one', 'a,b=c', 'ünïcode', '-x']) await sh('qemu-img', 'snapshot', '-c', name, path);
    assert.equal((await agree(path, 'qcow2')).snapshots.length, 4);
    const external = await create('qcow2', ['-o', `data_file=${scratch.path('data')}`, '8M']);
    const { findings, dataFile } = await agree(external, 'qcow2');
    assert.equal(dataFile, scratch.path('data'));
    assert.deepEqual(
      findings.map(({ reason }) => reason),
      ['EXTERNAL_DATA_FILE'],
    );
  });
  for (const format of ['qcow2', 'vmdk', 'vdi', 'vhdx', 'vpc', 'parallels', 'qed']) {
    it(`${format} with data`, async () => {
      await writeFile(scratch.path('disk.raw'), noise(3 << 20));
      const path = scratch.path(`data.${format}`);
      await sh('qemu-img', 'convert', '-f', 'raw', '-O', format, scratch.path('disk.raw'), path);
      await agree(path, format);
    });
  }
  /** The header of an image, with one number of it changed. */
  const changed = async (format: string, change: (header: Buffer) => unknown) => {
    const path = await create(format, ['10M']);
    const header = await readFile(path);
    change(header);
    await writeFile(path, header);
    return path;
  };
  it('qcow whose name of a base lies beyond the file, of any length, which qemu may read as zeros, is refused', async () => {
    for (const [offset, length] of [
      [1n << 62n, 0],
      [(1n << 64n) - 1n, 0],
      [1n << 62n, 10],
      [1n << 40n, 10],
    ] as const) {
      const path = await changed('qcow', (header) => {
        header.writeBigUInt64BE(offset, 8);
        header.writeUInt32BE(length, 16);
      });
      await assert.rejects(readHeaderOf(path), { reason: 'IMAGE_MALFORMED' });
    }
    await agree(await changed('qcow', (header) => header.writeBigUInt64BE(48n, 8)), 'qcow');
  });
  it('vmdk one of whose two grain directories lies beyond the file, which qemu may read as zeros, is not whole', async () => {
    for (const [at, offset] of [
      [48, 1n << 30n],
      [48, (1n << 54n) - 1n],
      [56, 1n << 30n],
    ] as const) {
      const path = await changed('vmdk', (header) => header.writeBigUInt64LE(offset, at));
      const facts = await readHeaderOf(path);
      assert.deepEqual(
        facts?.findings.map(({ reason }) => reason),
        ['TABLE_OUTSIDE_FILE'],
      );
    }
  });
  it('vmdk that says that it has no second grain directory: where that would be does not matter', async () => {
    const path = await changed('vmdk', (header) => {
      header.writeUInt32LE(header.readUInt32LE(8) & ~2, 8);
      header.writeBigUInt64LE(1n << 30n, 48);
    });
    assert.deepEqual((await agree(path, 'vmdk')).findings, []);
  });
  it('vmdk, compressed, with its grain directory at the end', async () => {
    const path = scratch.path('stream.vmdk');
    await writeFile(scratch.path('disk.raw'), noise(3 << 20));
    await sh(
      'qemu-img',
      'convert',
      '-f',
      'raw',
      '-O',
      'vmdk',
      '-o',
      'subformat=streamOptimized',
      scratch.path('disk.raw'),
      path,
    );
    await agree(path, 'vmdk');
  });
});
