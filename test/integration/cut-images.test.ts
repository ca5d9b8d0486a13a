/**
 * Images whose file was cut short, and honest ones that only look like it; all made by qemu-img.
 */
import assert from 'node:assert/strict';
import { deflateRawSync } from 'node:zlib';
import { appendFile, copyFile, open, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { LocalFiles } from '../../src/adapters/files/files.js';
import { TableWalk } from '../../src/adapters/qemu/table-walk.js';
import { asAddress } from '../../src/domain/model/address.js';
import { HostlerError } from '../../src/domain/model/errors.js';
import { findMissing } from '../../src/domain/formats/whole/find-missing.js';
import type { ImageFormat } from '../../src/domain/model/image-format.js';
import type { Wholeness } from '../../src/domain/ports/images.js';
import { ImageReader } from '../../src/domain/images/read-image.js';
import { noise } from '../support/images/disks.js';
import { scratchFolder } from '../support/scratch.js';
import { sh, tryRun } from '../support/shell.js';
import type { Paths } from '../../src/domain/ports/paths.js';

const MIB = 1 << 20;
/** No multiple of any cluster. */
const DISK_BYTES = 3 * MIB + 7 * 512;
/** Of each image: at the borders of its clusters, and between them. */
const CUTS = 40;

/** The extension of the header that says where they are. */
const MARK_OF_KEYS = Buffer.from('0537be77', 'hex');
const SECRET = ['--object', 'secret,id=key,data=x'];

/** Format, options of qemu-img convert, and the unit that its file is cut by. */
const KINDS: readonly (readonly [ImageFormat, readonly string[], number])[] = [
  ['qcow2', [], 64 << 10],
  ['qcow2', ['-o', 'compat=0.10'], 64 << 10],
  ['qcow2', ['-o', 'cluster_size=512'], 512],
  ['qcow2', ['-o', 'cluster_size=2M'], 2 * MIB],
  ['qcow2', ['-o', 'extended_l2=on,cluster_size=16k'], 16 << 10],
  ['qcow2', ['-o', 'refcount_bits=1'], 64 << 10],
  ['qcow2', ['-o', 'preallocation=metadata'], 64 << 10],
  ['qcow2', ['-c'], 64 << 10],
  ['qcow2', ['-c', '-o', 'compression_type=zstd,cluster_size=4k'], 4 << 10],
  ['qcow', [], 4 << 10],
  ['qcow', ['-c'], 64 << 10],
  ['qed', [], 64 << 10],
  ['qed', ['-o', 'cluster_size=4k'], 4 << 10],
  ['vdi', [], MIB],
  ['vdi', ['-o', 'static=on'], MIB],
  ['vmdk', [], 64 << 10],
  ['vmdk', ['-o', 'zeroed_grain=on'], 64 << 10],
  ['vmdk', ['-o', 'subformat=streamOptimized'], 64 << 10],
  ['vpc', [], MIB],
  ['vpc', ['-o', 'force_size=on'], MIB],
  ['vhdx', [], MIB],
  ['vhdx', ['-o', 'block_size=1M'], MIB],
  ['vhdx', ['-o', 'subformat=fixed'], MIB],
  ['parallels', [], MIB],
];

describe('images that were cut', () => {
  const scratch = scratchFolder();
  const never = () => assert.fail('nothing that a header names is looked for');
  const paths: Paths = {
    ...{ source: never, named: never, entry: never, place: never, target: never },
    assertNameable: never,
  };
  const foreign = { allowed: true, maxBytes: 1n << 40n };
  const readerWith = (wholeness: Wholeness) =>
    new ImageReader({ paths, files: new LocalFiles(), wholeness, foreign, onRaw: () => undefined });
  const reader = readerWith(new TableWalk());
  const files = new LocalFiles();
  /** Without a thread, for many looks at small images. */
  const atOnce = readerWith({
    missing: (file, format) => files.withBytes(file, (bytes) => findMissing(bytes, format)),
  });
  const judge = async (path: string, format: ImageFormat, by = reader, signal = new AbortController().signal) => {
    const file = await open(path);
    try {
      const addressed = { address: asAddress(path), handle: { fd: file.fd, close: () => file.close() } };
      await by.foreign(addressed, format);
      await by.assertWhole(addressed, format, signal);
    } finally {
      await file.close();
    }
  };
  const refusal = async (path: string, format: ImageFormat, by = reader): Promise<HostlerError | undefined> => {
    try {
      await judge(path, format, by);
      return undefined;
    } catch (error) {
      assert.ok(error instanceof HostlerError);
      assert.ok(['IMAGE_MALFORMED', 'IMAGE_UNSAFE', 'FORMAT_MISMATCH'].includes(error.reason), error.message);
      return error;
    }
  };
  const content = async (path: string, format: ImageFormat, key = '') => {
    const image = ['--image-opts', `driver=${format},file.driver=file,file.filename=${path}${key}`];
    await sh('qemu-img', 'convert', ...SECRET, '-O', 'raw', ...image, scratch.path('content'));
    return readFile(scratch.path('content'));
  };
  const made = async (name: string, format: ImageFormat, size: string, ...options: string[]) => {
    await sh('qemu-img', 'create', '-q', '-f', format, ...options, scratch.path(name), size);
    return scratch.path(name);
  };
  const change = (path: string, format: string, ...commands: string[]) =>
    sh('qemu-io', '-f', format, ...commands.flatMap((command) => ['-c', command]), path);

  const passesOnlyWhole = async (format: ImageFormat, unit: number, key?: string) => {
    const [whole, cut] = [scratch.path('whole'), scratch.path('cut')];
    assert.equal(await refusal(whole, format), undefined);
    const { size } = await stat(whole);
    await copyFile(whole, cut);
    const truth = await content(whole, format, key);
    const step = Math.max(unit, Math.ceil(size / (CUTS / 2) / unit) * unit);
    const lengths = [size - 1, size - 511, size - 512];
    for (let at = Math.floor((size - 1) / step) * step; at > 0; at -= step) lengths.push(at + unit / 2, at);
    for (const length of lengths.filter((each) => each > 0 && each < size).sort((a, b) => b - a)) {
      await truncate(cut, length);
      const passes = (await refusal(cut, format, atOnce)) === undefined;
      // What lies behind the end of the guest's disk may be missing: nobody reads it.
      if (passes)
        assert.ok((await content(cut, format, key)).equals(truth), `${String(length)} of ${String(size)} bytes`);
    }
  };

  before(async () => {
    await writeFile(scratch.path('disk'), noise(DISK_BYTES));
    await writeFile(scratch.path('whole-disk'), Buffer.concat([noise(MIB), Buffer.alloc(MIB, 'a text ')]));
  });

  for (const [format, options, unit] of KINDS)
    it(`${[format, ...options].join(' ')}: whole it passes, cut it does not`, async () => {
      const whole = scratch.path('whole');
      // qemu-img 7.2 takes no compressed qcow of another size, and says then that it failed,
      // although it did not.
      const isOld = format === 'qcow' && options.includes('-c');
      const words = ['-f', 'raw', '-O', format, ...options, scratch.path(isOld ? 'whole-disk' : 'disk'), whole];
      const { code, stderr } = await tryRun('qemu-img', ['convert', ...words]);
      assert.ok(stderr === '' && (code === 0 || isOld), stderr);
      await passesOnlyWhole(format, unit);
    });

  it('says where the file ends, what is missing, and how much of it', async () => {
    const path = scratch.path('said');
    await sh('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', scratch.path('disk'), path);
    const { size } = await stat(path);
    await truncate(path, size - 200_000);
    const error = await refusal(path, 'qcow2');
    assert.equal(error?.reason, 'IMAGE_MALFORMED');
    assert.match(error.message, /the file ends at byte \d+, but a cluster of data at \d+, and \d+ more/);
    const { file_bytes, missing_at } = error.facts;
    assert.equal(file_bytes, String(size - 200_000));
    assert.ok(Number(missing_at) % 65_536 === 0 && Number(missing_at) < size);
  });

  it('what snapshots hold counts too', async () => {
    const path = await made('snapshot', 'qcow2', '1M', '-o', 'cluster_size=4k');
    await change(path, 'qcow2', 'write -P 7 0 512k');
    await sh('qemu-img', 'snapshot', '-c', 'one', path);
    await change(path, 'qcow2', 'write -P 8 0 4k');
    assert.equal(await refusal(path, 'qcow2'), undefined);
    const { size } = await stat(path);
    // The current state has its tables and its data behind; put back, only the snapshot's are gone.
    await sh('qemu-img', 'snapshot', '-a', 'one', path);
    await change(path, 'qcow2', 'discard 0 1M');
    await truncate(path, size / 2);
    assert.equal((await refusal(path, 'qcow2'))?.reason, 'IMAGE_MALFORMED');
  });

  for (const [what, commands] of [
    ['with data', ['write -P 3 0 2M']],
    ['that is empty', []],
  ] as const)
    it(`a bitmap ${what} counts too`, async () => {
      const path = await made('bitmap', 'qcow2', '8M', '-o', 'cluster_size=4k');
      await change(path, 'qcow2', 'write -P 7 0 1M');
      const { size: before } = await stat(path);
      await sh('qemu-img', 'bitmap', '--add', '-g', '512', '-f', 'qcow2', path, 'one');
      if (commands.length > 0) await change(path, 'qcow2', ...commands);
      assert.equal(await refusal(path, 'qcow2'), undefined);
      const bytes = await readFile(path);
      assert.ok(bytes.length > before);
      // The guest's data is all there; qemu opens the image without its bitmap, if at all.
      let refused = 0;
      for (let length = bytes.length - 4096; length >= before; length -= 4096) {
        await truncate(path, length);
        if ((await refusal(path, 'qcow2', atOnce)) !== undefined) refused += 1;
        else assert.equal((await tryRun('qemu-img', ['info', '-f', 'qcow2', path])).stderr, '');
      }
      assert.ok(refused > 0);
    });

  describe('with LUKS inside', () => {
    const KEY = ',encrypt.key-secret=key';
    // It takes qemu seconds to make one.
    before(async () => {
      const options = [...SECRET, '-o', 'encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10'];
      await sh('qemu-img', 'convert', ...options, '-O', 'qcow2', scratch.path('disk'), scratch.path('sealed'));
    });
    beforeEach(() => copyFile(scratch.path('sealed'), scratch.path('whole')));

    it('qcow2: whole it passes, cut it does not', () => passesOnlyWhole('qcow2', 64 << 10, KEY));

    it('qcow2 of version 2: whole it passes, cut it does not', async () => {
      const image = ['--image-opts', `driver=qcow2,file.filename=${scratch.path('whole')}${KEY}`];
      await sh('qemu-img', 'amend', ...SECRET, ...image, '-o', 'compat=0.10');
      await passesOnlyWhole('qcow2', 64 << 10, KEY);
    });

    it('the keys count too, of a disk without data', async () => {
      const path = scratch.path('whole');
      const bytes = await readFile(path);
      // Of the L1 table.
      bytes.fill(0, Number(bytes.readBigUInt64BE(40)), Number(bytes.readBigUInt64BE(40)) + 8);
      await writeFile(path, bytes);
      assert.equal(await refusal(path, 'qcow2'), undefined);
      const extension = bytes.indexOf(MARK_OF_KEYS) + 8;
      const [start, length] = [bytes.readBigUInt64BE(extension), bytes.readBigUInt64BE(extension + 8)].map(Number);
      assert.ok(start !== undefined && length !== undefined);
      for (const at of [start + length - 1, start + length / 2, start + 512, start]) {
        await truncate(path, at);
        assert.notEqual(await refusal(path, 'qcow2'), undefined, String(at));
      }
      await writeFile(path, bytes.subarray(0, start + length));
      assert.equal(await refusal(path, 'qcow2'), undefined);
    });

    it('LUKS without a header of keys, and a header of keys without LUKS, are no qcow2', async () => {
      const path = scratch.path('whole');
      const bytes = await readFile(path);
      const isRefused = async (what: string) => {
        await writeFile(path, bytes);
        assert.equal((await refusal(path, 'qcow2'))?.reason, 'IMAGE_MALFORMED', what);
        assert.notEqual((await tryRun('qemu-img', ['convert', '-O', 'raw', path, scratch.path('content')])).code, 0);
      };
      for (const method of [0, 1, 3]) {
        bytes.writeUInt32BE(method, 32);
        await isRefused(`method ${String(method)}`);
      }
      bytes.writeUInt32BE(2, 32);
      const mark = bytes.indexOf(MARK_OF_KEYS);
      bytes.writeUInt32BE(512 + 1, mark + 12);
      await isRefused('no cluster');
      // Unknown extensions are passed over.
      bytes.writeUInt32BE(0x12345678, mark);
      await isRefused('missing');
    });
  });

  it('a bitmap that nobody vouches for counts for nothing', async () => {
    const path = await made('bitmap', 'qcow2', '8M', '-o', 'cluster_size=4k');
    await sh('qemu-img', 'bitmap', '--add', '-f', 'qcow2', path, 'one');
    const bytes = await readFile(path);
    bytes.writeUInt32BE(0, 92);
    await writeFile(path, bytes);
    await truncate(path, bytes.length - 4096);
    assert.equal(await refusal(path, 'qcow2'), undefined);
  });

  describe('is honest', () => {
    for (const [name, format, work] of [
      ['empty', 'qcow2', []],
      ['zeros with clusters', 'qcow2', ['write -P 1 0 1M', 'write -z 0 1M']],
      ['discarded at the end', 'qcow2', ['write -P 1 0 2M', 'discard 1M 1M']],
      ['written at its very end', 'qcow2', [`write -P 1 ${String(DISK_BYTES - 512)} 512`]],
      ['written at its very end', 'vmdk', [`write -P 1 ${String(DISK_BYTES - 512)} 512`]],
      ['written at its very end', 'vdi', [`write -P 1 ${String(DISK_BYTES - 512)} 512`]],
      ['written at its very end', 'qed', [`write -P 1 ${String(DISK_BYTES - 512)} 512`]],
      ['written at its very end', 'parallels', [`write -P 1 ${String(DISK_BYTES - 512)} 512`]],
      ['written at its very end', 'vhdx', [`write -P 1 ${String(DISK_BYTES - 512)} 512`]],
      ['empty', 'vpc', []],
    ] as const)
      it(`${format} ${name}`, async () => {
        const path = await made('honest', format, String(DISK_BYTES));
        if (work.length > 0) await change(path, format, ...work);
        assert.equal((await refusal(path, format))?.message, undefined);
      });

    for (const preallocation of ['metadata', 'falloc', 'full'])
      it(`qcow2 with preallocation=${preallocation}, then shrunk and grown`, async () => {
        const options = ['-o', `preallocation=${preallocation},cluster_size=4k`];
        const path = await made('allocated', 'qcow2', '3M', ...options);
        assert.equal(await refusal(path, 'qcow2'), undefined);
        await sh('qemu-img', 'resize', '-q', '--shrink', '-f', 'qcow2', path, '1M');
        assert.equal(await refusal(path, 'qcow2'), undefined);
        await sh('qemu-img', 'resize', '-q', '-f', 'qcow2', path, '5M');
        assert.equal(await refusal(path, 'qcow2'), undefined);
      });

    for (const type of ['zlib', 'zstd'])
      it(`qcow2 whose last ${type} cluster is not filled up to a sector`, async () => {
        const path = scratch.path('short');
        await writeFile(scratch.path('text'), Buffer.alloc(MIB, 'all work and no play '));
        const options = ['-c', '-o', `compression_type=${type}`];
        await sh('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', ...options, scratch.path('text'), path);
        const bytes = await readFile(path);
        const end = bytes.findLastIndex((byte) => byte !== 0) + 1;
        assert.ok(end % 512 !== 0);
        await truncate(path, end);
        assert.equal(await refusal(path, 'qcow2'), undefined);
        await truncate(path, end - 1);
        assert.equal((await refusal(path, 'qcow2'))?.reason, 'IMAGE_MALFORMED');
      });

    it('a file that grows while its tables are read', async () => {
      const path = scratch.path('growing');
      await sh('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', scratch.path('disk'), path);
      const bytes = await readFile(path);
      await truncate(path, bytes.length - 1000);
      const looking = judge(path, 'qcow2');
      // Before its tables have been read, since that takes the start of a thread.
      await appendFile(path, bytes.subarray(-1000));
      await looking;
    });
  });

  describe('with tables that never end', () => {
    let large: string;
    before(async () => {
      large = await made('large', 'qcow2', '16G', '-o', 'preallocation=metadata,cluster_size=4k');
    });

    it('are given up when somebody cancels', async () => {
      const stop = new AbortController();
      const reason = new HostlerError('CANCELLED', 'enough');
      const looking = judge(large, 'qcow2', reader, stop.signal);
      setImmediate(() => stop.abort(reason));
      await assert.rejects(looking, reason);
    });

    it('are given up when the time for such images is over', async () => {
      await assert.rejects(judge(large, 'qcow2', readerWith(new TableWalk({ wallMs: 1 }))), (error: HostlerError) => {
        assert.equal(error.reason, 'TOOL_LIMIT_EXCEEDED');
        assert.equal(error.facts['limit'], 'limits.foreign.wall_seconds');
        return true;
      });
    });

    it('are given up when the time of a core for such images is over', async () => {
      await assert.rejects(
        judge(large, 'qcow2', readerWith(new TableWalk({ cpuSeconds: 0 }))),
        (error: HostlerError) => {
          assert.equal(error.reason, 'TOOL_LIMIT_EXCEEDED');
          assert.equal(error.facts['limit'], 'limits.foreign.cpu_seconds');
          return true;
        },
      );
    });

    // A quarter of a million entries: each time it is expanded a cluster takes 4 ms.
    for (const [what, offsetOf, cut] of [
      ['one', () => 0, false],
      ['one that is cut', () => 0, true],
      ['another one each', (n: number) => (n % 1000) + 1, true],
    ] as const)
      it(`expand few compressed clusters, when all entries name ${what}`, async () => {
        const path = await made('bomb', 'qcow2', '512G', '-o', 'cluster_size=2M');
        const packed = deflateRawSync(Buffer.alloc(2 * MIB, 'x'));
        const [table, data] = [4 * MIB * 4, 4 * MIB * 4 + 2 * MIB];
        const end = data + 2049;
        const entries = Buffer.alloc(2 * MIB);
        // So many sectors that the last one is the last of the file, which is not full.
        for (let n = 0; n < entries.length / 8; n++)
          entries.writeBigUInt64BE((1n << 62n) | (4n << 49n) | BigInt(data + offsetOf(n)), n * 8);
        const file = await open(path, 'r+');
        const head = Buffer.alloc(48);
        await file.read(head, 0, 48, 0);
        const l1 = Buffer.alloc(8);
        l1.writeBigUInt64BE(BigInt(table));
        await file.write(l1, 0, 8, Number(head.readBigUInt64BE(40)));
        await file.write(entries, 0, entries.length, table);
        await file.truncate(end);
        await file.write(cut ? packed.subarray(1) : packed, 0, undefined, data);
        await file.close();
        assert.equal((await refusal(path, 'qcow2'))?.reason, cut ? 'IMAGE_MALFORMED' : undefined);
      });

    it('are read once, however often they are named', async () => {
      const path = await made('again', 'qcow2', '8P', '-o', 'cluster_size=2M');
      const l1Bytes = 8 * 16_384;
      const table = Buffer.alloc(l1Bytes);
      const { size } = await stat(path);
      for (let n = 0; n < l1Bytes; n += 8) table.writeBigUInt64BE(BigInt(Math.ceil(size / (2 * MIB)) * 2 * MIB), n);
      const file = await open(path, 'r+');
      const head = Buffer.alloc(48);
      await file.read(head, 0, 48, 0);
      await file.write(table, 0, table.length, Number(head.readBigUInt64BE(40)));
      await file.truncate(Math.ceil(size / (2 * MIB)) * 2 * MIB + 2 * MIB);
      await file.close();
      // 32 GiB, were each of them read.
      await judge(path, 'qcow2');
    });
  });
});
