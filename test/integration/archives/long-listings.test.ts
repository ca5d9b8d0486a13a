/**
 * Directories of archives that are made to cost memory or time: they are refused before their names
 * are read.
 */
import assert from 'node:assert/strict';
import { mkdir, open, writeFile } from 'node:fs/promises';
import { LocalArchives } from '../../../src/adapters/archives/archives.js';
import { TarArchive } from '../../../src/adapters/archives/tar-archive.js';
import { ZipArchive } from '../../../src/adapters/archives/zip-archive.js';
import { MemoryFolders } from '../../../src/adapters/process/memory-folders.js';
import { ProcessRunner } from '../../../src/adapters/process/process.js';
import { asAddress } from '../../../src/domain/model/address.js';
import type { HostlerError } from '../../../src/domain/model/errors.js';
import type { ArchiveKind } from '../../../src/domain/ports/sources.js';
import { crc32 } from 'node:zlib';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';

const LONGEST = 65_535;
/** The unicode path field of Info-ZIP: a version, the checksum of the other name, the name. */
const UNICODE_NAME = 0x7075;
const EMPTY = Buffer.alloc(0);

interface Parts {
  readonly name?: Buffer;
  readonly extra?: Buffer;
  readonly comment?: Buffer;
}

/** A zip whose members all are one empty file. */
function zipOf(count: number, partsOf: (n: number) => Parts): Buffer {
  const local = Buffer.alloc(31);
  local.writeUInt32LE(0x04034b50, 0);
  local.writeUInt16LE(1, 26);
  local.write('a', 30);
  const entries = Array.from({ length: count }, (_, n) => {
    const { name = Buffer.from(String(n)), extra = EMPTY, comment = EMPTY } = partsOf(n);
    const head = Buffer.alloc(46);
    head.writeUInt32LE(0x02014b50, 0);
    for (const [at, { length }] of [[28, name] as const, [30, extra] as const, [32, comment] as const])
      head.writeUInt16LE(length, at);
    return Buffer.concat([head, name, extra, comment]);
  });
  const directory = Buffer.concat(entries);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(count, 8);
  end.writeUInt16LE(count, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(local.length, 16);
  return Buffer.concat([local, directory, end]);
}

function field(id: number, data: Buffer): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt16LE(id, 0);
  head.writeUInt16LE(data.length, 2);
  return Buffer.concat([head, data]);
}

function unicode(name: Buffer, plain: Buffer): Buffer {
  const head = Buffer.alloc(5, 1);
  head.writeUInt32LE(crc32(plain), 1);
  return field(UNICODE_NAME, Buffer.concat([head, name]));
}

const plain = Buffer.from('plain');
const ZIPS: readonly (readonly [string, number, () => Parts, RegExp | number])[] = [
  ["one name that is no file's", 1, () => ({ name: Buffer.alloc(LONGEST, 0xb0) }), /more than 4096 bytes/],
  ['a hundred of them', 100, () => ({ name: Buffer.alloc(LONGEST, 0xb0) }), /more than 4096 bytes/],
  [
    'one such name in the field for UTF-8',
    1,
    () => ({ name: plain, extra: unicode(Buffer.alloc(5000, 'x'), plain) }),
    /more than 4096 bytes/,
  ],
  ['names that are long together', 9000, () => ({ name: Buffer.alloc(1000, 0xb0) }), /longer than 2097152 bytes/],
  ['long comments', 100, () => ({ comment: Buffer.alloc(LONGEST, 0xb0) }), /longer than 2097152 bytes/],
  ['many fields', 100, () => ({ extra: Buffer.alloc(LONGEST - 3) }), /longer than 2097152 bytes/],
  [
    'many wrong names in fields for UTF-8',
    100,
    () => ({ extra: Buffer.concat(Array<Buffer>(6000).fill(unicode(EMPTY, plain))) }),
    /longer than 2097152 bytes/,
  ],
  ['as many members as there may be', 10_000, () => ({ extra: Buffer.alloc(100), comment: Buffer.alloc(50) }), 10_000],
  ['the longest name that a file has', 1, () => ({ name: Buffer.alloc(4096, 'x') }), 1],
  ['a name in UTF-8 beside another', 1, () => ({ name: plain, extra: unicode(Buffer.from('ü'), plain) }), 1],
];

/** What makes a tar as `out`. */
const TARS: readonly (readonly [string, RegExp | number])[] = [
  [pythonTar('1', "'x' * 5000"), /more than 4096 bytes/],
  [pythonTar('1', "'x' * 1000000"), /more than 4096 bytes/],
  [pythonTar('1', "'\\xb0' * 8000"), /more than 4096 bytes/],
  [pythonTar('9000', "'x' * 1000"), /longer than 2097152 bytes/],
  [pythonTar('10001', 'str(n)'), /more than 10000 members/],
  [pythonTar('10001', 'str(n)', '; i.type = tarfile.DIRTYPE'), /more than 10000 members/],
  [pythonTar('10000', "'some/folder/that/is/no/surprise/%06d.img' % n"), 10_000],
  [pythonTar('1', "'x' * 4095"), 1],
  [pythonTar('1', "'\\n' * 4095"), 1],
];

function pythonTar(count: string, name: string, more = ''): string {
  const add = `i = tarfile.TarInfo(${name})${more}; f.addfile(i)`;
  return `import tarfile\nf = tarfile.open('out', 'w', format=tarfile.GNU_FORMAT)\nfor n in range(${count}): ${add}\nf.close()`;
}

describe('what an archive says of its members', () => {
  const scratch = scratchFolder();
  const log = { child: () => undefined, abandoned: () => undefined };
  const folders = new MemoryFolders('hostler-test');
  const searchPath = process.env['PATH'] ?? '';
  const tar = new TarArchive(new ProcessRunner({ killGraceMs: 200, searchPath, folders, log }), {});
  const archives = new LocalArchives({ tar, zip: new ZipArchive() });
  const judge = async (kind: ArchiveKind, path: string, expected: RegExp | number) => {
    const file = await open(path);
    const addressed = { address: asAddress(path), handle: { fd: file.fd, close: () => file.close() } };
    const listing = archives.list(kind, addressed, { signal: new AbortController().signal, onChild: () => undefined });
    try {
      if (typeof expected === 'number') assert.equal((await listing).length, expected);
      else
        await assert.rejects(listing, ({ reason, message }: HostlerError) => {
          assert.equal(reason, 'IMAGE_MALFORMED');
          assert.match(message, expected);
          return true;
        });
    } finally {
      await file.close();
    }
  };

  for (const [what, count, parts, expected] of ZIPS)
    it(`zip: ${what}`, async () => {
      await writeFile(scratch.path('zip'), zipOf(count, parts));
      await judge('zip', scratch.path('zip'), expected);
    });

  for (const [code, expected] of TARS)
    it(`tar: ${code.split('\n')[2] ?? ''}`, async () => {
      await mkdir(scratch.path('made'), { recursive: true });
      await sh('python3', '-c', `import os\nos.chdir(${JSON.stringify(scratch.path('made'))})\n${code}`);
      await judge('tar', scratch.path('made', 'out'), expected);
    });
});
