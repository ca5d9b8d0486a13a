/**
 * What is no disk is known by its name, and no disk is taken for something else; made by the tools
 * that make such files.
 */
import assert from 'node:assert/strict';
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { LocalFiles } from '../../src/adapters/files/files.js';
import { asAddress } from '../../src/domain/model/address.js';
import { HostlerError } from '../../src/domain/model/errors.js';
import { assertDisk } from '../../src/domain/fetch/assert-disk.js';
import { noise } from '../support/images/disks.js';
import { installed, needs } from '../support/needs.js';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';
import type { Resolved } from '../../src/domain/ports/handles.js';

/** A name in the words of the error; what makes it of `disk` in the current folder, as `out`. */
const MADE: readonly (readonly [string, string])[] = [
  ['a tar archive', 'tar -cf out disk'],
  ['a tar archive', 'tar -cf out --format=v7 disk'],
  ['a tar archive', 'tar -cf out --format=posix disk'],
  ['a tar archive', 'tar -cSf out disk'],
  ['a zip archive', 'zip -q out.zip disk && mv out.zip out'],
  ['a zip archive', 'zip -q -0 out.zip disk && mv out.zip out'],
  ['a 7z archive', '7z a out.7z disk >/dev/null && mv out.7z out'],
  ['a cpio archive', 'echo disk | cpio -o --quiet >out'],
  ['a cpio archive', 'echo disk | cpio -o -H newc --quiet >out'],
  ['a cpio archive', 'echo disk | cpio -o -H crc --quiet >out'],
  ['a cpio archive', 'echo disk | cpio -o -H odc --quiet >out'],
  ['an ar archive', 'ar rc out disk'],
  ['data compressed by gzip', 'gzip -c disk >out'],
  ['data compressed by xz', 'xz -c disk >out'],
  ['data compressed by lzma', 'xz -c --format=lzma disk >out'],
  ['data compressed by lzma', 'xz -c --format=lzma -9 disk >out'],
  ['data compressed by zstd', 'zstd -q -c disk >out'],
  ['data compressed by bzip2', 'bzip2 -c disk >out'],
  ['data compressed by bzip2', 'bzip2 -c </dev/null >out'],
  ['data compressed by lz4', 'lz4 -q -c disk >out'],
  ['data compressed by lz4', 'lz4 -q -l -c disk >out'],
  ['data compressed by lzip', 'lzip -c disk >out'],
  ['data compressed by lzop', 'lzop -c disk >out'],
  ['data compressed by compress', 'compress -c disk >out'],
  [
    'data compressed by zlib',
    "python3 -c \"import zlib; open('out', 'wb').write(zlib.compress(open('disk', 'rb').read()))\"",
  ],
  ['data compressed by zlib', "python3 -c \"import zlib; open('out', 'wb').write(zlib.compress(b'x' * 9000, 0))\""],
  ['data compressed by zlib', "python3 -c \"import zlib; open('out', 'wb').write(zlib.compress(bytes(1 << 28), 9))\""],
  ['data encrypted by OpenSSL', 'openssl enc -aes-256-cbc -pbkdf2 -iter 1 -pass pass:x -in disk -out out'],
  [
    'OpenPGP data',
    'mkdir -m 700 k && gpg --homedir k --batch -q --passphrase x --pinentry-mode loopback -c -o out disk',
  ],
  [
    'OpenPGP data',
    'mkdir -m 700 k && gpg --homedir k --batch -q --passphrase x --pinentry-mode loopback --cipher-algo AES128 -z 0 -c -o out disk',
  ],
  [
    'OpenPGP data',
    "mkdir -m 700 k && gpg --homedir k --batch -q --passphrase '' --quick-gen-key x rsa2048 encr never 2>/dev/null && gpg --homedir k --batch -q --trust-model always -r x -e -o out disk",
  ],
  ['an ELF program', 'cat /bin/true >out'],
  ['a script', 'cat /usr/bin/ldd >out'],
  ['a PEM file', 'openssl req -x509 -newkey rsa:2048 -nodes -keyout out -out out -subj /CN=x 2>/dev/null'],
  [
    'a git bundle',
    'git init -q r && git -C r -c user.name=x -c user.email=x commit -q --allow-empty -m x && git -C r bundle create -q ../out HEAD',
  ],
];

const WRITTEN: readonly (readonly [string, string | Buffer])[] = [
  ['a web page', '\n\t <!DOCTYPE html>\n<html><body>Not Found</body></html>'],
  ['a web page', '\ufeff<html lang="de">'],
  ['a web page', Buffer.from('\ufeff<!doctype html><p>Grüße', 'utf16le')],
  ['an XML or HTML document', '<!-- moved --><html></html>'],
  ['an XML or HTML document', '<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>'],
  ['an XML or HTML document', '<Error><Code>AccessDenied</Code></Error>'],
  ['a JSON document', ' {"error": "not found"}'],
  ['a JSON document', '[]'],
  ['a JSON document', `{ "manifests": [${'{"a": 1},'.repeat(100_000)}{}]}`],
  ['a Git LFS pointer', 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n'],
  ['a PEM file', '-----BEGIN CERTIFICATE-----\nMIIB\n'],
  ['a script', `#!/bin/bash\n${'echo hello\n'.repeat(100)}\0\0\0binary`],
  ['an answer of a web server', 'HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n'],
  ['a text', 'd41d8cd98f00b204e9800998ecf8427e  disk.img\n'.repeat(20)],
  ['a text', '404: Nicht gefunden, schöne Grüße\n'],
  ['a web page', Buffer.from('<!doctype html><p>Grüße', 'utf16le')],
  ['a web page', Buffer.from('\n<html><body>log in', 'utf16le').swap16()],
  ['an XML or HTML document', Buffer.from('<?xml version="1.0"?><Error/>', 'utf16le')],
  ['data encrypted by age', `age-encryption.org/v1\n-> X25519 ${'x'.repeat(600)}`],
  [
    'a CD image of sectors of 2352 bytes',
    Buffer.concat([Buffer.from('00ffffffffffffffffffff0000020001', 'hex'), noise(2336)]),
  ],
  ['data compressed by bzip3', Buffer.concat([Buffer.from('BZ3v1'), noise(4096)])],
  ['data compressed by lzfse', Buffer.concat([Buffer.from('bvx2'), noise(4096)])],
  ['a pbzx stream', Buffer.concat([Buffer.from('pbzx\0\0\0\0\x01\0\0\0'), noise(4096)])],
  ['an arj archive', Buffer.concat([Buffer.from('60ea2c0022660100100002', 'hex'), noise(4096)])],
  ['a Ghost image', Buffer.concat([Buffer.from('feef0103', 'hex'), noise(4096)])],
  ['a Windows FFU image', Buffer.concat([Buffer.from('20000000', 'hex'), Buffer.from('SignedImage '), noise(4096)])],
  ['a TIFF picture', Buffer.concat([Buffer.from('II*\0'), noise(4096)])],
  ['a TIFF picture', Buffer.concat([Buffer.from('MM\0*'), noise(4096)])],
  [
    'a BMP picture',
    Buffer.concat([Buffer.from('424d36100000000000003600000028000000100000001000000001001800', 'hex'), noise(4096)]),
  ],
  ['a WebP picture', Buffer.concat([Buffer.from('RIFF\x10\x10\0\0WEBPVP8 '), noise(4096)])],
  ['a WAVE sound', Buffer.concat([Buffer.from('RIFF\x10\x10\0\0WAVEfmt '), noise(4096)])],
  ['an MP4 film', Buffer.concat([Buffer.from('\0\0\0\x18ftypmp42'), noise(4096)])],
  ['an Ogg file', Buffer.concat([Buffer.from('OggS\0\x02'), noise(4096)])],
  ['a rar archive', Buffer.concat([Buffer.from('Rar!\x1a\x07\x01\0'), noise(4096)])],
  ['an rpm package', Buffer.concat([Buffer.from('edabeedb0300', 'hex'), noise(4096)])],
  ['a cab archive', Buffer.concat([Buffer.from('MSCF\0\0\0\0'), noise(4096)])],
  ['a xar archive', Buffer.concat([Buffer.from('xar!\0\x1c'), noise(4096)])],
  ['data compressed by snappy', Buffer.concat([Buffer.from('ff060000734e61507059', 'hex'), noise(4096)])],
  ['an Android sparse image', Buffer.concat([Buffer.from('3aff26ed01000000', 'hex'), noise(4096)])],
  ['an SQLite database', `SQLite format 3\0${'\0'.repeat(1000)}`],
  ['a PDF document', `%PDF-1.7\n${'x'.repeat(1000)}`],
  ['a partclone image', Buffer.concat([Buffer.from('partclone-image'), noise(4096)])],
  ['a qcow of an unknown version', Buffer.concat([Buffer.from('514649fb00000004', 'hex'), noise(4096)])],
  ['a Linux kernel', Buffer.concat([Buffer.alloc(0x202), Buffer.from('HdrS'), noise(4096)])],
  ['a torrent', Buffer.concat([Buffer.from('d8:announce35:udp://tracker.example.org:6969/announce'), noise(4096)])],
  ['a torrent', Buffer.concat([Buffer.from('d13:announce-listll20:http://a.example.org'), noise(4096)])],
  ['a torrent', Buffer.concat([Buffer.from('d10:created by13:mktorrent 1.14:infod'), noise(4096)])],
  ['a torrent', Buffer.concat([Buffer.from('d4:infod6:lengthi1048576e4:name'), noise(4096)])],
  ['nothing', ''],
  ['511 bytes, less than a sector', Buffer.alloc(511)],
];

/** What makes an honest disk as `out`. */
const DISKS: readonly string[] = [
  'truncate -s 1M out',
  'truncate -s 512 out',
  'mkfs.ext4 -q out 8M',
  'truncate -s 320M out && mkfs.xfs -q out',
  'truncate -s 128M out && mkfs.btrfs -q out',
  'mkswap -q out 2>/dev/null || { truncate -s 1M out; mkswap out >/dev/null; }',
  'truncate -s 1440K out && mkfs.vfat out >/dev/null',
  'truncate -s 64M out && mkfs.vfat -F 32 out >/dev/null',
  'truncate -s 1440K out && mformat -i out -f 1440 ::',
  'mksquashfs disk out -quiet -no-progress',
  'xorriso -as mkisofs -quiet -o out disk 2>/dev/null',
  "truncate -s 4M out && printf 'label: dos\\n2048,,83\\n' | sfdisk -q out",
  'truncate -s 4M out && sgdisk -n1:0:0 out >/dev/null',
  // A table and the text of somebody's boot loader before it.
  "truncate -s 4M out && printf 'label: dos\\n2048,,83\\n' | sfdisk -q out && printf '#!/bin/sh\\n' | dd of=out conv=notrunc status=none",
];

describe('what is no disk', () => {
  const scratch = scratchFolder();
  const files = new LocalFiles();
  const archives = { list: () => Promise.resolve([]), read: () => assert.fail('nothing is taken out') };
  const run = { signal: new AbortController().signal, onChild: () => undefined };
  let folder: string;
  let count = 0;
  const judge = async (path: string, declared = false) => {
    const file = await open(path);
    try {
      const handle = { fd: file.fd, close: () => file.close() };
      await assertDisk({ address: asAddress(path), handle } as unknown as Resolved, declared, run, { files, archives });
      return undefined;
    } catch (error) {
      assert.ok(error instanceof HostlerError && error.reason === 'IMAGE_MALFORMED', String(error));
      return error.facts['content'];
    } finally {
      await file.close();
    }
  };
  const make = async (context: Mocha.Context, command: string) => {
    const tools = command.split(/&&|\|\|?|[{;]/).map((part) => part.trim().split(' ')[0] ?? '');
    for (const tool of tools)
      needs(context, tool === '' || tool === '}' || installed(tool), `${tool} is not installed`);
    await sh('sh', '-c', `cd "$0" && ${command}`, folder);
    return `${folder}/out`;
  };

  beforeEach(async () => {
    folder = scratch.path(String(count++));
    await mkdir(folder);
    await writeFile(`${folder}/disk`, Buffer.concat([Buffer.alloc(1 << 20), noise(100_000)]));
  });

  for (const [name, command] of MADE)
    it(`${name}: ${command}`, async function () {
      const path = await make(this, command);
      assert.equal(await judge(path), name);
      // Who says that it is raw has it as it is.
      if ((await readFile(path)).length >= 512) assert.equal(await judge(path, true), undefined);
    });

  for (const [name, content] of WRITTEN)
    it(`${name}: ${content
      .slice(0, 30)
      .toString('latin1')
      .replaceAll(/[^\x20-\x7e]/g, '.')}`, async () => {
      await writeFile(`${folder}/out`, content);
      assert.equal(await judge(`${folder}/out`), name);
    });

  for (const command of DISKS)
    it(`a disk: ${command}`, async function () {
      assert.equal(await judge(await make(this, command)), undefined);
    });

  it('a disk: bytes that nobody knows, such as those of plain encryption', async () => {
    for (let n = 0; n < 200; n++) {
      await writeFile(`${folder}/out`, noise(4096, n));
      assert.equal(await judge(`${folder}/out`), undefined);
    }
  });

  for (const [title, hex] of [
    ['78 9c', '789c'],
    ['78 01', '7801'],
    ['the mark of arj', '60ea'],
    ['the mark of BMP', '424d'],
    ['a packet of OpenPGP', '8c0d04'],
    ['another one', '85010c03'],
  ] as const)
    it(`a disk: that ${title} is all that it has of something else`, async () => {
      for (let n = 0; n < 200; n++) {
        await writeFile(
          `${folder}/out`,
          Buffer.concat([Buffer.from(hex, 'hex'), n === 0 ? Buffer.alloc(4096) : noise(4096, n)]),
        );
        assert.equal(await judge(`${folder}/out`), undefined, String(n));
      }
    });

  it('a large file of text may be a disk that a test has filled', async () => {
    await writeFile(`${folder}/out`, 'y\n'.repeat(100_000));
    assert.equal(await judge(`${folder}/out`), undefined);
  });
});
