/**
 * The disk that is written while its qcow2 arrives is the one that qemu-img makes of the whole
 * image; what is not plain is left to qemu-img.
 */
import assert from 'node:assert/strict';
import { open, readFile, stat, writeFile } from 'node:fs/promises';
import { EarlyDiskThread } from '../../../src/adapters/files/early-disk.js';
import { allocatedBytes, noise, sameBytes } from '../../support/images/disks.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';

const MIB = 1 << 20;
/** Of an entry of an L2 table with the usual clusters. */
const isCompressed = (entry: bigint) => (entry & (1n << 62n)) !== 0n;

describe('a disk that is written while its image arrives', () => {
  const scratch = scratchFolder();
  const [source, image, came, disk, wanted] = ['source', 'image', 'came', 'disk', 'wanted'] as const;
  const path = (name: string) => scratch.path(name);
  const create = (size: string, ...options: string[]) =>
    sh('qemu-img', 'create', '-q', '-f', 'qcow2', ...options.flatMap((each) => ['-o', each]), path(image), size);
  const guest = (...commands: string[]) =>
    sh('qemu-io', '-f', 'qcow2', ...commands.flatMap((each) => ['-c', each]), path(image));
  const convert = (...words: string[]) =>
    sh('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', ...words, path(source), path(image));
  /** 8 MiB of data in a disk of 24 MiB and some sectors, with zeros in it. */
  const writeSource = () => {
    const content = Buffer.alloc(24 * MIB + 1536);
    noise(8 * MIB).copy(content, MIB + 512);
    for (let n = 0; n < 500; n++) noise(2048, n).copy(content, 12 * MIB + n * 16_384);
    noise(1000).copy(content, content.length - 1000);
    content.fill(0, 3 * MIB, 4 * MIB + 4096);
    return writeFile(path(source), content);
  };

  interface Arrival {
    /** The most bytes that may be written. */
    readonly room?: bigint;
    /** Other content that arrives first, and is dropped in the middle. */
    readonly before?: Buffer;
  }

  /** The disk that was written while the image arrived, or why it was given up. */
  async function arrive({ room, before }: Arrival = {}) {
    const bytes = await readFile(path(image));
    const writer = await open(path(came), 'w');
    const thread = new EarlyDiskThread({
      from: await open(path(came), 'r'),
      to: await open(path(disk), 'w+'),
      room: (wanted) =>
        room !== undefined && wanted > room ? Promise.reject(new Error('no space')) : Promise.resolve(),
      look: () => Promise.resolve(),
      letGo: (closed) => closed,
    });
    const send = async (content: Buffer) => {
      for (let at = 0; at < content.length;) {
        const piece = content.subarray(at, at + 777_777);
        await writer.write(piece, 0, piece.length, at);
        at += piece.length;
        thread.reach(BigInt(at));
      }
    };
    try {
      if (before !== undefined) {
        await send(before);
        await writer.truncate(0);
        thread.restart();
      }
      await send(bytes);
      const made = await thread.end();
      if ('gaveUp' in made) assert.equal((await stat(path(disk))).size, 0);
      return made;
    } finally {
      await thread.close();
      await writer.close();
    }
  }

  async function isAsQemuMakesIt(arrival: Arrival = {}): Promise<void> {
    const made = await arrive(arrival);
    await sh('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', path(image), path(wanted));
    assert.ok('virtualSizeBytes' in made, 'gaveUp' in made ? made.gaveUp : '');
    assert.equal(made.virtualSizeBytes, BigInt((await stat(path(wanted))).size));
    assert.ok(await sameBytes(path(disk), path(wanted)));
    const [taken, most] = [await allocatedBytes(path(disk)), await allocatedBytes(path(wanted))];
    assert.ok(taken <= most + MIB, `${String(taken)} bytes are allocated, and ${String(most)} by qemu-img`);
  }

  before(writeSource);

  for (const options of [
    'compat=0.10',
    'cluster_size=512',
    'cluster_size=4096',
    'cluster_size=65536',
    'cluster_size=2M',
    'cluster_size=64k,extended_l2=on',
    'cluster_size=2M,extended_l2=on',
    'refcount_bits=1,lazy_refcounts=on',
    'preallocation=metadata',
  ])
    it(`of qemu-img convert -o ${options}`, async () => {
      await convert('-o', options);
      await isAsQemuMakesIt();
    });

  for (const options of ['cluster_size=64k', 'cluster_size=2M', 'cluster_size=4k', 'compression_type=zstd'])
    it(`compressed, ${options}`, async () => {
      await convert('-c', '-o', options);
      await isAsQemuMakesIt();
    });

  it('compressed by many threads, its clusters not in their order', async () => {
    await convert('-c', '-W', '-m', '8');
    await isAsQemuMakesIt();
  });

  it('written by a guest here and there, with zeros, a snapshot, and tables that have moved', async () => {
    await create('64M');
    const places = Array.from({ length: 150 }, (_, n) => (n * 37) % 150);
    await guest(...places.map((n) => `write -P ${String(1 + (n % 200))} ${String(n * 400)}k 100k`));
    await sh('qemu-img', 'snapshot', '-c', 'first', path(image));
    await guest('write -P 9 1M 3M', 'write -z 2M 1M', 'write -z -u 5M 1M', 'discard 7M 1M');
    await sh('qemu-img', 'resize', '-q', path(image), '900G');
    await guest('write -P 7 700G 2M', 'write -P 8 899G 2M');
    const made = await arrive();
    assert.ok('virtualSizeBytes' in made, 'gaveUp' in made ? made.gaveUp : '');
    assert.equal(made.virtualSizeBytes, 900n << 30n);
    await sh('qemu-img', 'compare', '-f', 'raw', '-F', 'qcow2', path(disk), path(image));
  });

  it('with subclusters of zeros and of data', async () => {
    await create('32M', 'extended_l2=on');
    await guest(...Array.from({ length: 128 }, (_, n) => `write -P ${String(n + 1)} ${String(n * 200)}k 34k`));
    await guest('write -z 4k 6k', 'write -z 2M 8k', 'write -z -u 3M 64k', 'write -P 3 3080k 2k');
    await isAsQemuMakesIt();
  });

  it('whose last cluster is not whole in the file', async () => {
    await convert();
    const bytes = await readFile(path(image));
    const end = bytes.findLastIndex((byte) => byte !== 0) + 1;
    await writeFile(path(image), bytes.subarray(0, Math.ceil(end / 512) * 512));
    await isAsQemuMakesIt();
  });

  it('that begins anew with other content', async () => {
    await convert('-c');
    const before = (await readFile(path(image))).subarray(0, 6 * MIB);
    await convert('-o', 'cluster_size=4k');
    await isAsQemuMakesIt({ before });
  });

  describe('is left to qemu-img when', () => {
    const isGivenUp = async (gaveUp: string, arrival: Arrival = {}) =>
      assert.deepEqual(await arrive(arrival), { gaveUp });

    it('it is raw', async () => {
      await writeFile(path(image), noise(12 * MIB));
      await isGivenUp('it is no plain qcow2');
    });

    it('it is small', async () => {
      await create('1G');
      await isGivenUp('it is small');
    });

    it('it is encrypted, or has a base', async () => {
      const secret = ['--object', 'secret,id=key,data=made-up'];
      await sh(
        'qemu-img',
        'convert',
        ...secret,
        '-f',
        'raw',
        '-O',
        'qcow2',
        '-o',
        'encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10',
        path(source),
        path(image),
      );
      await isGivenUp('it is no plain qcow2');
      await create('24M', `backing_file=${path(source)}`, 'backing_fmt=raw');
      await guest('write 0 20M');
      await isGivenUp('it is no plain qcow2');
    });

    /** Byte offsets of L1 table, first L2 table, and first cluster. */
    const tables = (bytes: Buffer) => {
      const l1 = Number(bytes.readBigUInt64BE(40));
      const offset = (at: number) => Number(bytes.readBigUInt64BE(at) & 0x00fffffffffffe00n);
      return { l1, l2: offset(l1), cluster: offset(offset(l1) + 17 * 8) };
    };
    const changed = async (change: (bytes: Buffer, at: ReturnType<typeof tables>) => void) => {
      await convert();
      const bytes = await readFile(path(image));
      change(bytes, tables(bytes));
      await writeFile(path(image), bytes);
    };

    it('it names one cluster for the whole disk', async () => {
      await changed((bytes, { l2 }) => {
        for (let n = 0; n < 1536; n++) bytes.copy(bytes, l2 + n * 8, l2 + 17 * 8, l2 + 18 * 8);
      });
      await isGivenUp('it names the same bytes more than once');
    });

    it('it names one table for many parts of the disk', async () => {
      await changed((bytes, { l1 }) => {
        bytes.writeUInt32BE(4000, 36);
        bytes.writeBigUInt64BE(4000n << 29n, 24);
        for (let n = 1; n < 4000; n++) bytes.copy(bytes, l1 + n * 8, l1, l1 + 8);
      });
      await isGivenUp('it names the same bytes more than once');
    });

    it('an offset does not begin at a cluster', async () => {
      await changed((bytes, { l2 }) => bytes.writeUInt32BE(bytes.readUInt32BE(l2 + 17 * 8 + 4) + 512, l2 + 17 * 8 + 4));
      await isGivenUp('an L2 table is corrupt');
      await changed((bytes, { l1 }) => bytes.writeUInt32BE(bytes.readUInt32BE(l1 + 4) + 512, l1 + 4));
      await isGivenUp('its L1 table is corrupt');
    });

    it('it has a feature that is not known', async () => {
      await changed((bytes) => bytes.writeUInt8(0x20, 79));
      await isGivenUp('it is no plain qcow2');
    });

    it('a compressed cluster is damaged', async () => {
      await convert('-c');
      const bytes = await readFile(path(image));
      const { l2 } = tables(bytes);
      const entry = Array.from({ length: 1536 }, (_, n) => bytes.readBigUInt64BE(l2 + n * 8)).find(isCompressed);
      assert.ok(entry !== undefined);
      const at = Number(entry & ((1n << 54n) - 1n));
      bytes.fill(0xff, at, at + 100);
      await writeFile(path(image), bytes);
      await isGivenUp('invalid block type');
    });

    it('there is no room for it', async () => {
      await convert();
      await isGivenUp('there is no room', { room: BigInt(20 * MIB) });
    });
  });
});
