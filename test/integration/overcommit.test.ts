import assert from 'node:assert/strict';
import { link, mkdir, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { overcommitted } from '../../src/adapters/index/overcommit.js';
import { RootIndex } from '../../src/adapters/index/root-index.js';
import { noise } from '../support/images/disks.js';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';

const MIB = 1 << 20;

describe('what images may still grow by', () => {
  const scratch = scratchFolder();

  it('virtual sizes beyond what is taken, each file once, private folders left out', async () => {
    const at = (name: string) => scratch.path('root', name);
    await mkdir(at('below/state'), { recursive: true });
    await mkdir(at('.hostler-agent-operation'));
    await writeFile(at('dense.raw'), noise(MIB));
    await writeFile(at('note.txt'), 'no image');
    await writeFile(at('broken.qcow2'), Buffer.concat([Buffer.from('QFI\xfb\0\0\0\x03', 'latin1'), Buffer.alloc(8)]));
    await writeFile(at('sparse.raw'), noise(MIB));
    await truncate(at('sparse.raw'), 64 * MIB);
    await link(at('sparse.raw'), at('below/again.raw'));
    await symlink(at('sparse.raw'), at('link.raw'));
    for (const hidden of ['below/state/x.raw', '.hostler-agent-operation/part']) {
      await writeFile(at(hidden), '');
      await truncate(at(hidden), 64 * MIB);
    }
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', at('below/thin.qcow2'), '10G');
    await sh('qemu-img', 'create', '-q', '-f', 'raw', '-o', 'preallocation=falloc', at('full.raw'), '2M');
    const taken = async (name: string) => (await stat(at(name))).blocks * 512;
    const expected = 64 * MIB - (await taken('sparse.raw')) + 10 * 1024 * MIB - (await taken('below/thin.qcow2'));
    const sums = await overcommitted([at(''), at('below')], [at('below/state')], () => undefined);
    const { dev } = await stat(at(''), { bigint: true });
    assert.deepEqual([...sums], [[dev, BigInt(expected)]]);
  });

  it('a VMDK of several files grows where its data is, and counts once', async () => {
    for (const [subformat, extent] of [
      ['monolithicFlat', 'flat'],
      ['twoGbMaxExtentFlat', 'f001'],
      ['twoGbMaxExtentSparse', 's001'],
    ] as const) {
      const folder = scratch.path(subformat);
      await mkdir(folder);
      const options = ['-o', `subformat=${subformat}`];
      await sh('qemu-img', 'create', '-q', '-f', 'vmdk', ...options, `${folder}/a.vmdk`, '64M');
      const { blocks } = await stat(`${folder}/a-${extent}.vmdk`);
      const [sum = 0n] = (await overcommitted([folder], [], () => undefined)).values();
      assert.equal(sum, BigInt(64 * MIB - blocks * 512), subformat);
    }
  });

  it('headers that claim more than a counter holds make it full, and no more', async () => {
    const header = Buffer.alloc(MIB);
    header.write('KDMV', 'latin1');
    const fields: [number, bigint][] = [
      [12, 2n ** 54n - 1n],
      [20, 128n],
      [28, 1n],
      [36, 20n],
      [48, 0n],
      [56, 21n],
      [64, 128n],
    ];
    for (const [offset, value] of fields) header.writeBigUInt64LE(value, offset);
    header.writeUInt32LE(1, 4);
    header.writeUInt32LE(3, 8);
    header.writeUInt32LE(512, 44);
    for (const guests of [1, 2, 3, 9]) {
      const folder = scratch.path(`guests-${String(guests)}`);
      await mkdir(folder);
      for (let n = 0; n < guests; n++) await writeFile(`${folder}/${String(n)}.raw`, header);
      const [sum = 0n] = (await overcommitted([folder], [], () => undefined)).values();
      const claimed = BigInt(guests) * (2n ** 63n - 512n - BigInt(MIB));
      const most = 2n ** 64n - 1n;
      assert.equal(sum, claimed > most ? most : claimed, String(guests));
    }
  });

  it('no file and no tree fails the sum of the others', async () => {
    const folder = scratch.path('strange');
    await mkdir(folder);
    await writeFile(`${folder}/grows.raw`, '');
    await truncate(`${folder}/grows.raw`, 64 * MIB);
    // A snapshot table, a descriptor and a name where no file has anything.
    const far = Buffer.alloc(MIB);
    far.write('QFI\xfb\0\0\0\x03', 'latin1');
    for (const [offset, value] of [
      [8, 2n ** 63n],
      [24, 1n << 20n],
      [40, 3n << 16n],
      [48, 1n << 16n],
      [64, 2n ** 60n],
    ] as const)
      far.writeBigUInt64BE(value, offset);
    for (const [offset, value] of [
      [16, 9],
      [20, 16],
      [36, 1],
      [56, 1],
      [60, 1],
      [96, 4],
      [100, 112],
    ] as const)
      far.writeUInt32BE(value, offset);
    await writeFile(`${folder}/far.qcow2`, far);
    const text = Buffer.alloc(MIB);
    text.write('KDMV', 'latin1');
    text.writeBigUInt64LE(2n ** 60n, 28);
    text.writeBigUInt64LE(1n, 36);
    await writeFile(`${folder}/far.vmdk`, text);
    await sh(
      'bash',
      '-c',
      'cd "$1" && printf x > "$(printf "\\377\\376.raw")" && for n in $(seq 40); do mkdir "$2" && cd "$2" || exit; done; mkfifo fifo',
      'x',
      folder,
      'd'.repeat(200),
    );
    const [sum = 0n] = (await overcommitted([folder], [], () => undefined)).values();
    assert.equal(sum, 64n * BigInt(MIB));
    const { dev: device, ino: inode } = await stat(folder, { bigint: true });
    const index = new RootIndex(
      folder,
      { device, inode },
      [],
      () => undefined,
      () => undefined,
    );
    await index.refresh();
    assert.deepEqual(index.dependantsOf({ device, inode }), { found: [], unseen: [] });
    await sh('rm', '-rf', folder);
  });

  it('nothing to grow is no device', async () => {
    await mkdir(scratch.path('empty'));
    assert.equal((await overcommitted([scratch.path('empty'), scratch.path('missing')], [], () => undefined)).size, 0);
  });
});
