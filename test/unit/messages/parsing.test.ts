import assert from 'node:assert/strict';
import { parseAddress, parseRbdName, rbdAddress } from '../../../src/domain/model/address.js';
import { parseSize, roundUp } from '../../../src/domain/model/size.js';
import { parseFormat, parseTargetFormat } from '../../../src/domain/model/image-format.js';
import { LastBytes, splitLines } from '../../../src/adapters/process/output.js';
import { parseMountinfo } from '../../../src/adapters/linux/mounts.js';
import { holdOf, parseLocks } from '../../../src/adapters/qemu/qemu-locks.js';
import { parseExtent, parseMeasure, parseProgress, qemuError } from '../../../src/adapters/qemu/qemu-output.js';

async function* chunks(...texts: string[]) {
  for (const text of texts) yield await Promise.resolve(Buffer.from(text));
}

async function lines(...texts: string[]): Promise<string[]> {
  const found: string[] = [];
  for await (const line of splitLines(chunks(...texts))) found.push(line);
  return found;
}

describe('parseSize', () => {
  const good: [string, bigint][] = [
    ['1024', 1024n],
    ['10G', 10n << 30n],
    ['1.5M', 1572864n],
    ['0.5K', 512n],
    ['0', 0n],
    ['1.1K', 1127n],
    ['9223372036854775296', 2n ** 63n - 512n],
  ];
  for (const [text, bytes] of good) it(text, () => assert.equal(parseSize(text), bytes));
  for (const text of [
    '',
    '10GB',
    '-1',
    '1e3',
    '1,5M',
    ' 1',
    '1 M',
    '0x10',
    '.5G',
    '1.',
    '9223372036854775297',
    '9223372036854775808',
    '8388608T',
    'G',
  ])
    it(`refuses "${text}"`, () => assert.equal(typeof parseSize(text), 'object'));
  it('rounds up', () =>
    assert.deepEqual([roundUp(0n, 512n), roundUp(1n, 512n), roundUp(512n, 512n)], [0n, 512n, 512n]));
});

describe('parseAddress', () => {
  for (const path of ['/a', '/a/b c', '/a/-x', '/a/,', '/a/"\n', `/${'n'.repeat(255)}`, '/a/...', '/nbd:x'])
    it(`takes ${JSON.stringify(path).slice(0, 30)}`, () => assert.equal(parseAddress(path), path));
  for (const path of [
    '',
    'a',
    '/',
    '/a/',
    '/a//b',
    '/a/../b',
    '/a/.',
    '/a\0',
    `/${'n'.repeat(256)}`,
    `/${'a/'.repeat(2100)}b`,
    'json:{}',
    'rbd:',
    'rbd:pool',
    'rbd:/image',
    'rbd:pool/',
    'rbd:pool/image@',
    'rbd:pool/image@a@b',
    'rbd:pool/space/image/more',
    'rbd:pool/a:b',
    'rbd:pool/a\nb',
    `rbd:pool/${'n'.repeat(201)}`,
    `/${'ü'.repeat(128)}`,
  ])
    it(`refuses ${JSON.stringify(path).slice(0, 30)}`, () => assert.equal(typeof parseAddress(path), 'object'));
});

describe('addresses in Ceph pools', () => {
  for (const address of ['rbd:pool/image', 'rbd:pool/image@snap', 'rbd:pool/space/im,age', 'rbd:pool/space/ü -x@a b'])
    it(`takes ${address}`, () => {
      assert.equal(parseAddress(address), address);
      const name = parseRbdName(address);
      assert.ok(!('problem' in name));
      assert.equal(rbdAddress(name), address);
    });
});

describe('formats', () => {
  it('are qemu names', () => assert.equal(parseFormat('qcow2'), 'qcow2'));
  it('are not anything else', () => {
    for (const name of ['', 'QCOW2', 'nbd', 'toString', 'iso']) assert.equal(typeof parseFormat(name), 'object', name);
  });
  it('some can only be read', () => assert.equal(typeof parseTargetFormat('dmg'), 'object'));
});

describe('splitLines', () => {
  it('splits at \\n and \\r across chunks', async () => {
    assert.deepEqual(await lines('a\rb', 'c\r\nd', '\n', 'e'), ['a', 'bc', 'd', 'e']);
  });
  it('joins characters that are cut in two', async () => {
    const [first, second] = [Buffer.from('ü\n').subarray(0, 1), Buffer.from('ü\n').subarray(1)];
    const found: string[] = [];
    async function* cut() {
      yield await Promise.resolve(first);
      yield second;
    }
    for await (const line of splitLines(cut())) found.push(line);
    assert.deepEqual(found, ['ü']);
  });
  it('does not keep a line that never ends', async () => {
    const found = await lines('x'.repeat(40_000), 'x'.repeat(40_000), 'y');
    assert.deepEqual(
      found.map((line) => line.length),
      [80_000, 1],
    );
  });
});

it('LastBytes keeps the end', () => {
  const last = new LastBytes(5);
  for (const text of ['abc', 'def', 'gh\n']) last.add(Buffer.from(text));
  assert.equal(last.text, 'efgh');
});

describe('/proc', () => {
  it('mountinfo: octal escapes, optional fields', () => {
    const [mount] = parseMountinfo(
      '36 35 98:0 /mnt1 /mnt/a\\040b\\134 rw,noatime master:1 shared:2 - ext3 /dev/r\\303\\274 rw\n',
    );
    assert.deepEqual(mount, { id: 36, device: '98:0', mountPoint: '/mnt/a b\\', type: 'ext3', source: '/dev/rü' });
  });
  const locks = parseLocks(
    [
      '1: OFDLCK ADVISORY  READ -1 fe:00:1234 100 101',
      '2: OFDLCK ADVISORY  READ -1 fe:00:5 100 100',
      '3: POSIX  ADVISORY  WRITE 77 fe:00:9 0 EOF',
      '4: -> OFDLCK ADVISORY READ -1 fe:00:7 0 EOF',
      '5: OFDLCK ADVISORY WRITE -1 fe:00:8 0 10',
    ].join('\n'),
  );
  it('locks: a writer, a reader, other programs', () => {
    const holds = ['fe:00:1234', 'fe:00:5', 'fe:00:9', 'fe:00:7', 'fe:00:8', 'fe:01:5'].map((file) =>
      holdOf(locks, file),
    );
    assert.deepEqual(holds, ['writer', 'reader', 'none', 'none', 'none', 'none']);
  });
});

describe('qemu-img output', () => {
  it('progress', () => {
    assert.equal(parseProgress('    (12.34/100%)'), 0.1234);
    assert.equal(parseProgress('nothing'), undefined);
  });
  it('an extent', () => {
    const line =
      '{ "start": 9223372036854710272, "length": 65536, "depth": 1, "present": true, "zero": false, "data": true, "offset": 327680},';
    assert.deepEqual(parseExtent(line), {
      offsetBytes: 9223372036854710272n,
      lengthBytes: 65536n,
      data: true,
      zero: false,
      depth: 1,
      fileOffsetBytes: 327680n,
    });
    assert.equal(parseExtent(']'), undefined);
  });
  it('measure', () => {
    assert.deepEqual(parseMeasure('{\n "required": 393216,\n "fully-allocated": 1074135040\n}'), {
      requiredBytes: 393216n,
      fullyAllocatedBytes: 1074135040n,
    });
    assert.throws(() => parseMeasure('{}'));
  });
  const meanings: [string, string][] = [
    ['qemu-img: Could not open: Failed to get shared "write" lock', 'IMAGE_IN_USE'],
    ['qemu-img: error while writing: No space left on device', 'NO_SPACE'],
    ['qemu-img: Could not open: Permission denied', 'ACCESS_DENIED'],
    ['qemu-img: error while reading: Input/output error', 'IO_ERROR'],
    ['qemu-img: Image is not in qcow2 format', 'IMAGE_MALFORMED'],
    ["qemu-img: Could not open '/corrupt invalid header': Permission denied", 'ACCESS_DENIED'],
    [
      'qemu-img: Could not open \'json:{"file":{"filename":"/l/3"}}\': Could not open \'/l/3\': Invalid argument',
      'IMAGE_MALFORMED',
    ],
    ['qemu-img: error while reading at byte 6225920: Invalid argument', 'IMAGE_MALFORMED'],
    [
      'qemu-img: block-vpc: free_data_block_offset points after the end of file. The image has been truncated.',
      'IMAGE_MALFORMED',
    ],
    [
      'qemu-img: VHDX BAT entry 3 start offset 9 points after end of file (8). Image has probably been truncated.',
      'IMAGE_MALFORMED',
    ],
    [
      'qcow2: Marking image as corrupt: Zero cluster entry found\nqemu-img: Could not read file metadata: Input/output error',
      'IMAGE_MALFORMED',
    ],
    ['qemu-img: L1 table is too small', 'IMAGE_MALFORMED'],
    ['qemu-img: Catalog size is too small for this disk size', 'IMAGE_MALFORMED'],
    ['qemu-img: QED table offset is invalid', 'IMAGE_MALFORMED'],
    ['qemu-img: Image does not contain a reference count table', 'IMAGE_MALFORMED'],
    ['qemu-img: qcow2: Image is corrupt; cannot be opened read/write', 'IMAGE_NEEDS_REPAIR'],
    [
      "VHDX image file '/l/3' opened read-only, but contains a log that needs to be replayed\nqemu-img check -r all '/l/3'",
      'IMAGE_NEEDS_REPAIR',
    ],
    ['qemu-img: parallels: Image was not closed correctly; cannot be opened read/write', 'IMAGE_NEEDS_REPAIR'],
    ['You can force-remove all 3 overhanging snapshots with qemu-img check -r all', 'IMAGE_NEEDS_REPAIR'],
    ["qemu-img: Can't resize a v2 image which has snapshots", 'UNSUPPORTED_BY_BACKEND'],
    ["qemu-img: Could not apply snapshot '1': Device has active dirty bitmaps", 'UNSUPPORTED_BY_BACKEND'],
    ["qemu-img: Could not apply snapshot 'Image is corrupt': No space left on device", 'NO_SPACE'],
    ['qemu-img: Failed to grow the L1 table: File too large', 'UNSUPPORTED_BY_BACKEND'],
    ['qemu-img: error while converting raw: Could not resize file: File too large', 'UNSUPPORTED_BY_BACKEND'],
    ['qemu-img: Unsupported qcow2 version 9', 'UNSUPPORTED_BY_BACKEND'],
    ["qemu-img: Parameter 'key-secret' is required for cipher", 'SECRET_REQUIRED'],
    ['qemu-img: Failed to flush the L2 table cache: Input/output error', 'IO_ERROR'],
    ["qemu-img: Could not open 'a': bitmaps_ext: Could not read ext header: Input/output error", 'IMAGE_MALFORMED'],
    ["qemu-img: Could not open 'a': bitmaps_ext: Invalid extension length: Invalid argument", 'IMAGE_MALFORMED'],
    ['qemu-img: found bitmaps extension with zero bitmaps: Invalid argument', 'IMAGE_MALFORMED'],
    ['qemu-img: Broken bitmap directory: Invalid argument', 'IMAGE_MALFORMED'],
    ["qemu-img: Can't update bitmap directory: Operation not permitted", 'IMAGE_MALFORMED'],
    ["qemu-img: Could not read bitmap 'b' from image: Invalid argument", 'IMAGE_MALFORMED'],
    ["qemu-img: Could not read bitmap 'b' from image: Input/output error", 'IO_ERROR'],
    ['qemu-img: Could not read file metadata: Invalid argument', 'IMAGE_MALFORMED'],
    ['qemu-img: Wrong parallels Format Extension magic: 0x1, expected: 0xab234cef23dcea87', 'IMAGE_MALFORMED'],
    ['qemu-img: CRYPTO header extension size 8, but expected size 16', 'IMAGE_MALFORMED'],
    ['qemu-img: Missing CRYPTO header for crypt method 2', 'IMAGE_MALFORMED'],
    ["qemu-img: ../../block/qcow2-cluster.c:1012: qcow2_alloc: Assertion `l2_offset != 0' failed.", 'IMAGE_MALFORMED'],
    ["qemu-img: ../../block/io.c:2532: bdrv_co_block_status: Assertion `*pnum && align' failed.", 'IMAGE_MALFORMED'],
    ["qemu-img: ../../util/iov.c:10: iov_x: Assertion `size > 0' failed.", 'TOOL_FAILED'],
    [
      'qemu-img: The sum of offset (0) and size (8) has to be smaller or equal to the  actual size of the containing file (1)',
      'IMAGE_MALFORMED',
    ],
    [
      'qemu: module block-block-dmg-bz2 not found, do you want to install x package?\nqemu-img: error while reading at byte 0: Input/output error',
      'UNSUPPORTED_BY_BACKEND',
    ],
    [
      'qemu: module block-block-dmg-bz2 not found, do you want to install x package?\nqemu-img: error while writing: No space left on device',
      'NO_SPACE',
    ],
    ['something else', 'TOOL_FAILED'],
    ['', 'TOOL_FAILED'],
  ];
  for (const [stderr, reason] of meanings)
    it(`"${stderr}" is ${reason}`, () =>
      assert.equal(qemuError(stderr, { code: 1, signal: undefined }).reason, reason));
  it('a message has all sentences, each once', () => {
    const stderr = 'qemu-img: one\nqemu-img: qemu-img: two\n\none\nthree';
    assert.equal(qemuError(stderr, { code: 1, signal: undefined }).message, 'qemu-img: one; two; three');
    assert.equal(qemuError('', { code: undefined, signal: 'SIGKILL' }).message, 'qemu-img: signal SIGKILL');
  });
});
