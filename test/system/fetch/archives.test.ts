/** One disk out of an archive, when that is asked for. */
import assert from 'node:assert/strict';
import { mkdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { checkEach } from '../../support/check-each.js';
import { suiteDaemon } from '../../support/daemon.js';
import { allocatedBytes, noise } from '../../support/images/disks.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { installed, needs } from '../../support/needs.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const MIB = 1 << 20;
const ODD_NAME = '-a b\n*ü:c.img';
const LONG_NAME = `${'long/'.repeat(40)}disk.img`;

/** Python writes zips of every kind. */
const zipping = (code: string) => `python3 -c "import zipfile as z\n${code}"`;
const zip = (options: string) => zipping(`f = z.ZipFile('out', 'w'${options})\nf.write('disk.img')\nf.write('readme')`);

/** A type of old systems, which is a file. */
const contiguous = `python3 -c "import tarfile as t
f = t.open('out', 'w')
i = f.gettarinfo('disk.img')
i.type = t.CONTTYPE
f.addfile(i, open('disk.img', 'rb'))
f.close()"`;

/** What makes an archive as `out`, and the member that is asked for. */
const HONEST: readonly (readonly [string, string])[] = [
  ['tar -cf out disk.img readme', 'disk.img'],
  ['tar -cf out disk.img readme', '*'],
  ['tar -cf out ./disk.img ./readme', 'disk.img'],
  ['tar -cf out readme disk.img', './disk.img'],
  ['tar -cf out --format=v7 disk.img', '*'],
  ['tar -cf out --format=ustar disk.img', '*'],
  ['tar -cf out --format=posix disk.img', '*'],
  ['tar -cSf out --format=oldgnu disk.img readme', 'disk.img'],
  ['tar -cSf out --format=posix --sparse-version=0.0 disk.img', '*'],
  ['tar -cSf out --format=posix --sparse-version=0.1 disk.img', '*'],
  ['tar -cSf out --format=posix --sparse-version=1.0 disk.img', '*'],
  ['tar -cSzf out --format=oldgnu disk.img', 'disk.img'],
  ['tar -cf - disk.img readme | xz -0 >out', '*'],
  ['tar -cf - disk.img readme | zstd -q >out', '*'],
  ['tar -cf - disk.img readme | bzip2 >out', '*'],
  [`mkdir -p '${LONG_NAME.slice(0, -9)}' && cp disk.img '${LONG_NAME}' && tar -cf out long`, LONG_NAME],
  [`cp disk.img './${ODD_NAME}' && tar -cf out -- './${ODD_NAME}' disk.img`, ODD_NAME],
  ['mkdir -p d && cp readme d/disk.img && tar -cf out d disk.img', 'disk.img'],
  ['cp readme ._disk.img && tar -cf out ._disk.img disk.img', '*'],
  ['cp disk.img system && tar -cf out system', '*'],
  ['ln disk.img hard.img && tar -cf out disk.img hard.img', 'hard.img'],
  ['ln disk.img hard.img && tar -cf out disk.img hard.img', '*'],
  ["ln disk.img 'a link to b.img' && ln disk.img c.img && tar -cf out 'a link to b.img' disk.img c.img", 'c.img'],
  [contiguous, '*'],
  [contiguous, 'disk.img'],
  ['gzip -k disk.img && tar -cf out disk.img.gz readme', '*'],
  ['gzip -k disk.img && tar -czf out disk.img.gz readme', '*'],
  [
    'qemu-img convert -f raw -O vmdk -o subformat=streamOptimized disk.img disk.vmdk && tar -cf out readme disk.vmdk',
    '*',
  ],
  [zip(', z.ZIP_DEFLATED'), 'disk.img'],
  [zip(', z.ZIP_DEFLATED'), '*'],
  [zip(''), '*'],
  [
    zipping(
      `f = z.ZipFile('out', 'w', z.ZIP_DEFLATED)\nf.open('disk.img', 'w', force_zip64=True).write(open('disk.img', 'rb').read())`,
    ),
    '*',
  ],
  [`gzip -k disk.img && ${zipping(`f = z.ZipFile('out', 'w')\nf.write('disk.img.gz')`)}`, '*'],
];

/**
 * What makes an archive, the member that is asked for, the reason of the failure, and words of it.
 */
const REFUSED: readonly (readonly [string, string, string, RegExp])[] = [
  ['tar -cf out readme disk.img', 'no', 'MEMBER_NOT_FOUND', /no such file; it has readme, disk.img/],
  ['cp disk.img b.img && tar -cf out b.img disk.img', '*', 'MEMBER_NOT_FOUND', /no such file|several/],
  ['tar -cf out disk.img && tar -rf out disk.img', 'disk.img', 'MEMBER_NOT_FOUND', /several/],
  ['mkdir -p d && cp disk.img d && tar -cf out d', 'd', 'MEMBER_NOT_FOUND', /no such file/],
  ['ln -s /etc/passwd link.img && tar -cf out link.img', 'link.img', 'MEMBER_NOT_FOUND', /no such file/],
  [
    'ln disk.img hard.img && tar -cf out disk.img hard.img && tar --delete -f out disk.img',
    'hard.img',
    'MEMBER_NOT_FOUND',
    /no such file/,
  ],
  ['tar -cf out disk.img && truncate -s 1M out', 'disk.img', 'IMAGE_MALFORMED', /cannot be read/],
  ['tar -czf out disk.img && truncate -s -100 out', 'disk.img', 'IMAGE_MALFORMED', /the gzip data is broken/],
  ['cp disk.img out', 'disk.img', 'IMAGE_MALFORMED', /no tar or zip archive/],
  ['gzip -c disk.img >out', '*', 'IMAGE_MALFORMED', /no tar or zip archive/],
  ['tar -cf out readme', 'readme', 'IMAGE_MALFORMED', /the file is a text/],
  ['truncate -s 80M large.img && tar -cSf out large.img', '*', 'IMAGE_TOO_LARGE', /large.img/],
  ['truncate -s 80M large.img && tar -cSzf out large.img', '*', 'IMAGE_TOO_LARGE', /large.img/],
  [`${zip(', z.ZIP_DEFLATED')} && truncate -s -1000 out`, '*', 'IMAGE_MALFORMED', /cannot be read/],
  [
    `${zip('')} && printf x | dd of=out bs=1 seek=5000 conv=notrunc status=none`,
    'disk.img',
    'IMAGE_MALFORMED',
    /checksum/,
  ],
  [zip(', z.ZIP_BZIP2'), 'disk.img', 'IMAGE_MALFORMED', /disk\.img is compressed by BZip2/],
  [zip(', z.ZIP_LZMA'), '*', 'IMAGE_MALFORMED', /disk\.img is compressed by LZMA/],
  ['zip -q -P x out.zip disk.img && mv out.zip out', '*', 'IMAGE_MALFORMED', /disk\.img is encrypted/],
  [
    '7z a -tzip -mm=Deflate64 out.zip disk.img >/dev/null && mv out.zip out',
    '*',
    'IMAGE_MALFORMED',
    /disk\.img is compressed by Deflate64/,
  ],
  [zip(''), 'no', 'MEMBER_NOT_FOUND', /no such file; it has disk.img, readme/],
  [
    zipping(`f = z.ZipFile('out', 'w')\nfor n in range(10001): f.writestr(str(n), '')`),
    '*',
    'IMAGE_MALFORMED',
    /more than 10000/,
  ],
  ['seq 10001 | xargs touch && seq 10001 | tar -cf out -T -', '*', 'IMAGE_MALFORMED', /more than 10000/],
];

describe('a disk in an archive', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  const daemon = suiteDaemon(scratch, { toml: `[fetch]\nmax_bytes = ${String(64 * MIB)}\n` });
  const image = (name: string) => daemon.get().image(name);
  const disk = Buffer.concat([noise(100_000), Buffer.alloc(3 * MIB), noise(5000, 2)]);
  let server: FaultServer;
  let folder: string;
  let count = 0;
  before(async () => {
    server = await FaultServer.start();
    scratch.onEnd(() => server.close());
  });
  beforeEach(async () => {
    folder = scratch.path(String(count++));
    await mkdir(folder);
    await writeFile(`${folder}/disk.img`, disk);
    await sh('fallocate', '-d', `${folder}/disk.img`);
    await writeFile(`${folder}/readme`, 'how to use it\n'.repeat(100));
  });
  checkEach(async () => {
    assert.deepEqual(await daemon.get().leftovers(), []);
  });
  const make = async (context: Mocha.Context, command: string) => {
    for (const tool of ['python3', 'xz', 'zstd', 'bzip2', '7z', 'zip'])
      needs(context, !command.includes(tool) || installed(tool), `${tool} is not installed`);
    await sh('bash', '-c', `cd "$0" && ${command}`, folder);
    return server.add('archive', await readFile(`${folder}/out`));
  };
  const fetch = (url: string, more: Message = {}) =>
    daemon.get().stranger.operation('ImageService/FetchImage', {
      source: { http: { url } },
      target: image('out'),
      overwrite: true,
      target_format: 'raw',
      ...more,
    });
  const titled = (command: string) => command.replaceAll('\n', '; ').slice(0, 100);

  for (const [command, archive_member] of HONEST)
    it(`${titled(command)}: ${titled(archive_member)}`, async function () {
      await fetch(await make(this, command), { archive_member });
      const found = await readFile(image('out'));
      // A container counts whole sectors.
      assert.ok(found.subarray(0, disk.length).equals(disk) && found.length - disk.length < 512);
      assert.ok((await allocatedBytes(image('out'))) < MIB);
    });

  for (const [command, archive_member, reason, words] of REFUSED)
    it(`${reason}: ${titled(command)}: ${archive_member}`, async function () {
      const error = await failure(fetch(await make(this, command), { archive_member }));
      assert.equal(error.reason, reason, error.message);
      assert.match(error.message, words);
    });

  for (const command of ['tar -cf out readme disk.img', 'tar -czf out readme disk.img', zip(', z.ZIP_DEFLATED')])
    it(`unasked, the error says which disk there is: ${titled(command)}`, async function () {
      const error = await failure(fetch(await make(this, command)));
      assert.equal(error.reason, 'IMAGE_MALFORMED');
      assert.equal(error.metadata['archive_member'], 'disk.img');
      assert.match(error.message, /it has one disk, disk\.img: set archive_member/);
    });

  for (const [command, how] of [
    [zip(', z.ZIP_BZIP2'), 'compressed by BZip2'],
    [zip(', z.ZIP_LZMA'), 'compressed by LZMA'],
  ] as const)
    it(`unasked, the error says that the disk cannot be taken out: ${titled(command)}`, async function () {
      const error = await failure(fetch(await make(this, command)));
      assert.equal(error.metadata['archive_member'], undefined);
      assert.ok(error.message.includes(`it has one disk, disk.img, which is ${how}: unpack it first`), error.message);
    });
  it('declared as what is in it, it is named, and so is the disk', async function () {
    const error = await failure(fetch(await make(this, 'tar -cf out disk.img readme'), { source_format: 'vmdk' }));
    assert.equal(error.reason, 'FORMAT_MISMATCH');
    assert.match(error.message, /declared vmdk but it is a tar archive, .*one disk, disk\.img: set archive_member/);
    assert.equal(error.metadata['archive_member'], 'disk.img');
    assert.equal(error.metadata['detected'], 'raw');
  });
  for (const [what, content] of [
    ['a web page', `<!DOCTYPE html><html><body>${'log in '.repeat(100)}`],
    ['data compressed by lz4', Buffer.from('04224d18', 'hex')],
    ['an ELF program', Buffer.from('7f454c46', 'hex')],
  ] as const)
    it(`${what} that is declared to be an image is named`, async () => {
      const url = server.add('page', Buffer.concat([Buffer.from(content), Buffer.alloc(1024)]));
      const error = await failure(fetch(url, { source_format: 'qcow2' }));
      assert.equal(error.reason, 'FORMAT_MISMATCH');
      assert.ok(error.message.includes(`declared qcow2 but it is ${what}, and no disk image`), error.message);
    });
  it('is cached by its name', async function () {
    const url = await make(this, 'cp disk.img b.img && truncate -s 1M b.img && tar -cf out disk.img b.img');
    const cached = async (archive_member: string) => {
      const { fetch: result } = await fetch(url, { archive_member, use_cache: true });
      return [(result as Message)['from_cache'] ?? false, (await stat(image('out'))).size];
    };
    assert.deepEqual(await cached('disk.img'), [false, disk.length]);
    assert.deepEqual(await cached('b.img'), [false, MIB]);
    assert.deepEqual(await cached('disk.img'), [true, disk.length]);
  });

  it('PrefetchImage brings it into the cache, or says that it is not there', async function () {
    const source = { http: { url: await make(this, 'cp disk.img c.img && tar -cf out c.img') } };
    const prefetch = (archive_member: string) =>
      daemon.get().stranger.operation('ImageService/PrefetchImage', { source, archive_member });
    assert.equal((await failure(prefetch('no'))).reason, 'MEMBER_NOT_FOUND');
    await prefetch('c.img');
  });

  it('comes from a file of this host too', async function () {
    await make(this, 'tar -cf out disk.img');
    await writeFile(image('archive.tar'), await readFile(`${folder}/out`));
    await daemon.get().stranger.operation('ImageService/FetchImage', {
      source: { file: { path: image('archive.tar') } },
      target: image('out'),
      overwrite: true,
      archive_member: '*',
    });
    assert.ok((await readFile(image('out'))).equals(disk));
  });

  it('an archive that ends behind its last member is whole', async function () {
    await make(this, 'tar -cf out disk.img');
    await truncate(`${folder}/out`, 512 + Math.ceil(disk.length / 512) * 512);
    const url = server.add('archive', await readFile(`${folder}/out`));
    await fetch(url, { archive_member: 'disk.img' });
    assert.ok((await readFile(image('out'))).equals(disk));
  });
});
