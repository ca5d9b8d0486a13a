/**
 * A fixed VHD is a guest's disk with a footer behind it: what the guest writes into its sectors
 * says nothing of the image.
 */
import assert from 'node:assert/strict';
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { installed, needs } from '../../support/needs.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const MIB = 1 << 20;
const DISK = noise(8 * MIB);
const OVER = { overwrite: true };

/**
 * What begins other formats, by how a guest's qemu takes the disk as a base: as it is, or as
 * another.
 */
const MARKS: readonly (readonly [string, Buffer, 'same' | 'other'])[] = [
  ['qcow2', Buffer.from('514649fb00000003', 'hex'), 'same'],
  ['qed', Buffer.from('QED\0'), 'same'],
  ['vmdk', Buffer.from('KDMV'), 'same'],
  ['a descriptor of a vmdk', Buffer.from('# Disk DescriptorFile\nversion=1\n'), 'same'],
  ['vhdx', Buffer.from('vhdxfile'), 'same'],
  ['luks', Buffer.from('4c554b53babe0001', 'hex'), 'same'],
  ['parallels', Buffer.from('WithoutFreeSpace'), 'same'],
  ['vpc', Buffer.from('conectix'), 'other'],
];

describe('a fixed VHD', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  before(() => mkdir(scratch.path('drop')));
  const daemon = suiteDaemon(scratch, () => ({
    roots: `[[roots]]\npath = "${scratch.path('daemon')}/images"\n[[roots]]\npath = "${scratch.path('drop')}"\ntrusted = false\n`,
  }));
  const ours = (name: string) => daemon.get().image(name);
  const run = (rpc: string, request: Message) => daemon.get().stranger.operation(`ImageService/${rpc}`, request);
  const convert = (source: string, source_format: string) =>
    run('ConvertImage', { source, source_format, target: ours('out'), target_format: 'raw', ...OVER });
  const result = () => readFile(ours('out'));
  let server: FaultServer;
  before(async () => {
    server = await FaultServer.start();
    scratch.onEnd(() => server.close());
  });
  const fetch = (body: Buffer, more: Message = {}) =>
    run('FetchImage', { source: { http: { url: server.add('image', body) } }, target: ours('out'), ...OVER, ...more });

  /** Of the disk, with these bytes in its first sector. */
  const vhd = async (disk: Buffer, options = 'subformat=fixed,force_size=on') => {
    await writeFile(scratch.path('disk'), disk);
    await sh('qemu-img', 'convert', '-f', 'raw', '-O', 'vpc', '-o', options, scratch.path('disk'), scratch.path('vhd'));
    return readFile(scratch.path('vhd'));
  };
  const marked = (mark: Buffer) => Buffer.concat([mark, DISK.subarray(mark.length)]);

  for (const [format, mark, asBase] of MARKS)
    it(`is one although its first sector is marked as ${format}, for every verb`, async () => {
      const disk = marked(mark);
      const path = ours('guest.vhd');
      // The guest writes into the disk that it has.
      await writeFile(path, await vhd(DISK));
      const file = await open(path, 'r+');
      await file.write(mark, 0, mark.length, 0);
      await file.close();
      await convert(path, 'vpc');
      assert.ok((await result()).equals(disk));
      await run('CompareImages', { first: path, first_format: 'vpc', second: ours('out'), second_format: 'raw' });
      const { reason } = await failure(run('CheckImage', { path, format: 'vpc' }));
      assert.equal(reason, 'UNSUPPORTED_BY_BACKEND', 'as of every VHD');
      await run('CopyImage', { source: path, target: ours('copy'), ...OVER });
      const { info } = (await daemon.get().stranger.unary('ImageService/GetImageInfo', { path, format: 'vpc' })) as {
        info: Message;
      };
      assert.equal(info['virtual_size_bytes'], String(DISK.length));
      const overlay = run('CreateOverlay', { path: ours('over'), backing_file: path, backing_format: 'vpc', ...OVER });
      if (asBase === 'same') {
        await overlay;
        await convert(ours('over'), 'qcow2');
        assert.ok((await result()).equals(disk));
      } else assert.equal((await failure(overlay)).reason, 'BASE_SIZE_DIFFERS');
    });

  it('is refused with such a mark when it is untrusted, as a raw disk is', async () => {
    for (const [format, mark] of MARKS.filter(([name]) => name !== 'luks')) {
      const body = await vhd(marked(mark));
      const { reason } = await failure(fetch(body, { source_format: 'vpc' }));
      assert.equal(reason, 'IMAGE_UNSAFE', format);
      assert.ok(['IMAGE_UNSAFE', 'IMAGE_MALFORMED'].includes((await failure(fetch(body))).reason), format);
    }
  });

  for (const type of ['luks1', 'luks2'])
    it(`of a disk of ${type} is one, declared or not, also untrusted`, async function () {
      needs(this, installed('cryptsetup'), 'cryptsetup is not installed');
      await writeFile(scratch.path('sealed'), Buffer.alloc(20 * MIB));
      const options = `--type ${type} --pbkdf pbkdf2 --pbkdf-force-iterations 1000`;
      await sh('bash', '-c', `printf x | cryptsetup luksFormat -q ${options} "$0" -`, scratch.path('sealed'));
      const disk = await readFile(scratch.path('sealed'));
      const body = await vhd(disk);
      for (const said of [{}, { source_format: 'vpc' }]) {
        const { fetch: fetched } = (await fetch(body, said)) as { fetch: { info: Message } };
        assert.equal(fetched.info['format'], 'vpc');
        assert.ok((await result()).equals(body));
        await fetch(body, { ...said, target_format: 'raw' });
        assert.ok((await result()).equals(disk));
      }
      for (const path of [scratch.path('drop', 'sealed.vhd'), ours('sealed.vhd')]) {
        await writeFile(path, body);
        await convert(path, 'vpc');
        assert.ok((await result()).equals(disk));
      }
    });

  it('raw in a root of ours is the bytes, whatever their marks', async () => {
    for (const [format, mark] of MARKS) {
      await writeFile(ours('disk.raw'), marked(mark));
      await convert(ours('disk.raw'), 'raw');
      assert.ok((await result()).equals(marked(mark)), format);
    }
  });

  describe('at the end of a larger disk', () => {
    /** Lengths of the disk before the inner one's file, and options of that. */
    const INNER: readonly (readonly [string, number, string])[] = [
      ['far smaller', 3 * MIB, 'subformat=fixed,force_size=on'],
      ['a little smaller', 200 << 10, 'subformat=fixed,force_size=on'],
      ['with a size by geometry', 3 * MIB, 'subformat=fixed'],
      ['one that grows', 3 * MIB, 'subformat=dynamic,force_size=on'],
    ];
    for (const [what, before, options] of INNER)
      it(`is data of that: ${what}`, async () => {
        const disk = Buffer.concat([DISK.subarray(0, before), await vhd(DISK.subarray(0, MIB), options)]);
        for (const said of [{}, { source_format: 'vpc' }]) {
          const { reason } = await failure(fetch(disk, { ...said, target_format: 'raw' }));
          assert.ok(['IMAGE_UNSAFE', 'IMAGE_MALFORMED'].includes(reason), reason);
        }
        await fetch(disk, { source_format: 'raw' });
        assert.ok((await result()).equals(disk));
        await writeFile(scratch.path('drop', 'nest'), disk);
        await convert(scratch.path('drop', 'nest'), 'raw');
        assert.ok((await result()).equals(disk));
      });

    it('says what it is to be declared as', async () => {
      const disk = Buffer.concat([DISK.subarray(0, 3 * MIB), await vhd(DISK.subarray(0, MIB))]);
      assert.match((await failure(fetch(disk))).message, /declared raw/);
    });
  });

  it('whose length was rounded, as some programs do, is one', async () => {
    const body = await vhd(DISK.subarray(0, MIB), 'subformat=fixed');
    const [disk, footer] = [body.subarray(0, -512), body.subarray(-512)];
    // A cylinder has 4 heads of 17 sectors.
    await fetch(Buffer.concat([disk, Buffer.alloc(67 * 512), footer]), { target_format: 'raw' });
    assert.ok((await result()).equals(disk));
    const longer = Buffer.concat([disk, Buffer.alloc(68 * 512), footer]);
    assert.equal((await failure(fetch(longer))).reason, 'IMAGE_UNSAFE');
  });

  it('that is cut in front is none', async () => {
    const body = (await vhd(DISK)).subarray(MIB);
    await writeFile(scratch.path('drop', 'cut.vhd'), body);
    const works = [
      () => fetch(body),
      () => fetch(body, { source_format: 'vpc' }),
      () => convert(scratch.path('drop', 'cut.vhd'), 'vpc'),
    ];
    for (const work of works) assert.equal((await failure(work())).reason, 'IMAGE_UNSAFE');
    await writeFile(ours('cut.vhd'), body);
    assert.equal((await failure(convert(ours('cut.vhd'), 'vpc'))).reason, 'IMAGE_MALFORMED');
  });
});
