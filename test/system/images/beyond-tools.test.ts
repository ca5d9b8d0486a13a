/**
 * Sound images that no tool here can open: kept and copied as they are, and a verb that has to open
 * them says so.
 */
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { installed, needs } from '../../support/needs.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const MIB = 1 << 20;

describe('an image beyond the tools', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  before(() => mkdir(scratch.path('drop')));
  const daemon = suiteDaemon(scratch, () => ({
    roots: `[[roots]]\npath = "${scratch.path('daemon')}/images"\n[[roots]]\npath = "${scratch.path('drop')}"\ntrusted = false\n`,
  }));
  const ours = (name: string) => daemon.get().image(name);
  const run = (rpc: string, request: Message) => daemon.get().stranger.operation(`ImageService/${rpc}`, request);
  let server: FaultServer;
  before(async () => {
    server = await FaultServer.start();
    scratch.onEnd(() => server.close());
  });

  const isKept = async (image: Buffer, format: string) => {
    const out = { target: ours('out'), overwrite: true };
    const fetched = { source: { http: { url: server.add('image', image) } }, ...out };
    await writeFile(scratch.path('drop', 'image'), image);
    const dropped = { source: scratch.path('drop', 'image') };
    const works = [
      () => run('FetchImage', fetched),
      () => run('FetchImage', { ...fetched, source_format: format }),
      () => run('CopyImage', { ...dropped, ...out }),
    ];
    for (const work of works) {
      await work();
      assert.ok((await readFile(ours('out'))).equals(image));
    }
    const secret = { source_secret: { passphrase: Buffer.from('x') } };
    const sealed = format === 'luks' ? secret : {};
    const convert = { source_format: format, target_format: 'raw', target: ours('raw'), ...sealed };
    for (const source of [ours('out'), dropped.source])
      assert.equal((await failure(run('ConvertImage', { source, ...convert }))).reason, 'UNSUPPORTED_BY_BACKEND');
  };

  // What the kernel of this host knows matters to cryptsetup, so the names are written into a
  // header of it.
  for (const [what, offset] of [
    ['camellia', 8],
    ['lrw-benbi', 40],
    ['whirlpool', 72],
    ['sm3', 72],
  ] as const)
    it(`LUKS 1 with ${what}`, async function () {
      needs(this, installed('cryptsetup'), 'cryptsetup is not installed');
      await writeFile(scratch.path('sealed'), Buffer.alloc(6 * MIB));
      const words = 'luksFormat -q --type luks1 --pbkdf-force-iterations 1000';
      await sh('bash', '-c', `printf x | cryptsetup ${words} "$0" -`, scratch.path('sealed'));
      const image = await readFile(scratch.path('sealed'));
      image.fill(0, offset, offset + 32);
      image.write(what, offset, 'latin1');
      await isKept(image, 'luks');
      // As bytes nobody has to open it.
      await run('FetchImage', {
        source: { http: { url: server.add('image', image) } },
        target: ours('out'),
        source_format: 'raw',
        overwrite: true,
      });
      assert.ok((await readFile(ours('out'))).equals(image));
    });

  it("a guest's disk that begins with a LUKS header without sense, raw and as a fixed VHD", async () => {
    const disk = Buffer.concat([Buffer.from('4c554b53babe0001', 'hex'), noise(MIB).subarray(8)]);
    await writeFile(scratch.path('disk'), disk);
    const options = ['-o', 'subformat=fixed,force_size=on'];
    await sh('qemu-img', 'convert', '-f', 'raw', '-O', 'vpc', ...options, scratch.path('disk'), scratch.path('vhd'));
    for (const [source_format, image] of [
      ['raw', disk],
      ['vpc', await readFile(scratch.path('vhd'))],
    ] as const) {
      const source = { http: { url: server.add('image', image) } };
      await run('FetchImage', { source, source_format, target: ours('out'), target_format: 'raw', overwrite: true });
      assert.ok((await readFile(ours('out'))).equals(disk), source_format);
    }
  });

  it('VHDX with sectors of 4096 bytes', async () => {
    await writeFile(scratch.path('disk'), noise(3 * MIB));
    await sh('qemu-img', 'convert', '-f', 'raw', '-O', 'vhdx', scratch.path('disk'), scratch.path('vhdx'));
    const image = await readFile(scratch.path('vhdx'));
    const entry = image.indexOf(Buffer.from('1dbf41816fa90947ba47f233a8faab5f', 'hex'));
    const metadata = entry - (entry % 65_536);
    image.writeUInt32LE(4096, metadata + image.readUInt32LE(entry + 16));
    await isKept(image, 'vhdx');
    image.writeUInt32LE(1024, metadata + image.readUInt32LE(entry + 16));
    const { reason } = await failure(
      run('FetchImage', { source: { http: { url: server.add('image', image) } }, target: ours('none') }),
    );
    assert.equal(reason, 'IMAGE_MALFORMED');
  });
});
