/**
 * Compressed images as the tools of each compression read them: members, frames, padding, what
 * follows, and what was cut.
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { checkEach } from '../../support/check-each.js';
import { suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { installed, needs } from '../../support/needs.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { CallError, type Message } from '../../support/stranger.js';

const TOOLS = ['gzip', 'xz', 'zstd', 'bzip2'] as const;
type Tool = (typeof TOOLS)[number];

describe('compressed images', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  const daemon = suiteDaemon(scratch);
  let server: FaultServer;
  const disk = noise(300_000);
  const packed = new Map<Tool, Buffer>();
  before(async () => {
    server = await FaultServer.start();
    scratch.onEnd(() => server.close());
    await writeFile(scratch.path('disk'), disk);
    for (const tool of TOOLS.filter(installed)) {
      await sh('sh', '-c', '"$0" -c "$1" >"$2"', tool, scratch.path('disk'), scratch.path('packed'));
      packed.set(tool, await readFile(scratch.path('packed')));
    }
  });
  checkEach(async () => {
    assert.deepEqual(await daemon.get().leftovers(), []);
  });
  const of = (context: Mocha.Context, tool: Tool): Buffer => {
    needs(context, packed.has(tool), `${tool} is not installed`);
    return packed.get(tool) ?? Buffer.alloc(0);
  };
  /** What was published and the reasons of the warnings, or the reason of the failure. */
  const fetched = async (content: Buffer) => {
    const target = daemon.get().image('out');
    const source = { http: { url: server.add('packed', content) } };
    try {
      const events = await daemon.get().stranger.all('ImageService/FetchImage', { source, target, overwrite: true });
      const { operation } = (await daemon.get().stranger.unary('OperationService/GetOperation', {
        operation_id: events[0]?.['operation_id'],
      })) as { operation: { warnings?: Message[] } };
      return { bytes: await readFile(target), warnings: (operation.warnings ?? []).map(({ reason }) => reason) };
    } catch (error) {
      assert.ok(error instanceof CallError, String(error));
      return { reason: error.reason };
    }
  };

  const SIGNATURE = Buffer.from('# fake certificateFWx0\x76\x5a\xee\xb8\0\0\0\0\0\0\0\0\x22', 'latin1');
  const ZEROS = Buffer.alloc(512);
  const SKIPPED = Buffer.from('5e2a4d180400000074657874', 'hex');
  const damaged = (one: Buffer) => Buffer.concat([Buffer.from([one.readUInt8(0) ^ 1]), one.subarray(1)]);
  const both = Buffer.concat([disk, disk]);
  const read: readonly (readonly [Tool, string, (one: Buffer) => Buffer[], Buffer, string[]])[] = [
    ['gzip', 'a signature behind it', (one) => [one, SIGNATURE], disk, ['TRAILING_DATA']],
    ['gzip', 'a text behind it', (one) => [one, Buffer.from('hello\n')], disk, ['TRAILING_DATA']],
    ['gzip', 'zeros behind it', (one) => [one, ZEROS], disk, []],
    ['gzip', 'two members', (one) => [one, one], both, []],
    ['gzip', 'two members and a signature', (one) => [one, one, SIGNATURE], both, ['TRAILING_DATA']],
    ['gzip', 'zeros and then a text', (one) => [one, ZEROS, Buffer.from('x')], disk, ['TRAILING_DATA']],
    ['bzip2', 'a signature behind it', (one) => [one, SIGNATURE], disk, ['TRAILING_DATA']],
    ['gzip', 'a long signature behind it', (one) => [one, noise(60_000, 9)], disk, ['TRAILING_DATA']],
    ['bzip2', 'a long signature behind it', (one) => [one, noise(60_000, 9)], disk, ['TRAILING_DATA']],
    ['bzip2', 'zeros behind it', (one) => [one, ZEROS], disk, ['TRAILING_DATA']],
    ['bzip2', 'two streams', (one) => [one, one], both, []],
    ['xz', 'two streams', (one) => [one, one], both, []],
    ['xz', 'padding between and behind', (one) => [one, ZEROS, one, ZEROS], both, []],
    ['zstd', 'two frames', (one) => [one, one], both, []],
    ['zstd', 'frames to be skipped all around', (one) => [SKIPPED, one, SKIPPED, one, SKIPPED], both, []],
  ];
  const packing = async (command: string) => {
    await sh('sh', '-c', `cd "$0" && ${command} >packed`, scratch.path());
    return readFile(scratch.path('packed'));
  };
  /** With the largest dictionary that the format can name. No xz makes that. */
  const largest = (xz: Buffer) => {
    const header = xz.subarray(12, 12 + ((xz[12] ?? 0) + 1) * 4);
    header.writeUInt8(40, 4);
    header.writeUInt32LE(crc32(header.subarray(0, -4)), header.length - 4);
    return xz;
  };
  /** And whether it comes in. */
  const windows: readonly (readonly [Tool, string, (() => Promise<Buffer>) | string, boolean])[] = [
    ['zstd', '128 MiB', 'zstd -q -c --ultra --long=27 <disk', true],
    ['zstd', '2 GiB', 'zstd -q -c --ultra --long=31 <disk', true],
    ['zstd', '4 GiB', () => Promise.resolve(Buffer.from('28b52ffd00b0010000', 'hex')), false],
    ['xz', '1200 MiB', 'xz -c --lzma2=preset=0,dict=1200MiB disk', true],
    ['xz', '1536 MiB', 'xz -c --lzma2=preset=0,dict=1536MiB disk', true],
    ['xz', '4 GiB', async () => largest(await packing('xz -c disk')), false],
  ];
  for (const [tool, what, make, comes] of windows)
    it(`${tool}: a window of ${what}`, async function () {
      of(this, tool);
      const found = await fetched(await (typeof make === 'string' ? packing(make) : make()));
      assert.equal(found.reason, comes ? undefined : 'TOOL_LIMIT_EXCEEDED');
      if (comes) assert.ok(found.bytes?.equals(disk));
    });

  for (const [tool, what, make, expected, warnings] of read)
    it(`${tool}: ${what}`, async function () {
      const found = await fetched(Buffer.concat(make(of(this, tool))));
      assert.equal(found.reason, undefined);
      assert.ok(found.bytes.equals(expected));
      assert.deepEqual(found.warnings, warnings);
    });

  const refused: readonly (readonly [Tool, string, (one: Buffer) => Buffer[]])[] = [
    ['gzip', 'a second member of which a bit is wrong', (one) => [one, damaged(one)]],
    ['gzip', 'a third member of which a bit is wrong', (one) => [one, one, damaged(one)]],
    ['gzip', 'much that is something else behind it', (one) => [one, noise(70_000, 9)]],
    ['bzip2', 'a second stream of which a bit is wrong', (one) => [one, damaged(one)]],
    ['bzip2', 'much that is something else behind it', (one) => [one, noise(70_000, 9)]],
    ['gzip', 'a second member that is cut', (one) => [one, one.subarray(0, 1000)]],
    ['gzip', 'a second member that is broken', (one) => [one, Buffer.from('1f8b08000000000000030101', 'hex')]],
    ['bzip2', 'a second stream that is cut', (one) => [one, one.subarray(0, 1000)]],
    ['xz', 'something else behind it, of which xz says that it is an error', (one) => [one, SIGNATURE]],
    ['xz', 'a second stream that is cut', (one) => [one, one.subarray(0, 1000)]],
    ['zstd', 'something else behind it, of which zstd says that it is an error', (one) => [one, SIGNATURE]],
    ['zstd', 'a second frame that is cut', (one) => [one, one.subarray(0, 1000)]],
    ['zstd', 'a frame to be skipped that is cut', (one) => [one, SKIPPED.subarray(0, 9)]],
  ];
  for (const [tool, what, make] of refused)
    it(`${tool}: ${what} is IMAGE_MALFORMED`, async function () {
      assert.deepEqual(await fetched(Buffer.concat(make(of(this, tool)))), { reason: 'IMAGE_MALFORMED' });
    });

  for (const tool of TOOLS)
    it(`${tool}: cut in the first bytes of what follows the first part, nothing is published`, async function () {
      const one = of(this, tool);
      for (const length of [1, 2, 3, 4, 9])
        assert.deepEqual(
          await fetched(Buffer.concat([one, one.subarray(0, length)])),
          { reason: 'IMAGE_MALFORMED' },
          String(length),
        );
    });
  for (const tool of TOOLS)
    it(`${tool}: wherever it is cut, or a bit is changed, nothing is published`, async function () {
      const one = of(this, tool);
      for (const length of [1, 3, 8, 100, 999].map((less) => one.length - less).concat(one.length >> 1, 600))
        assert.deepEqual(await fetched(one.subarray(0, length)), { reason: 'IMAGE_MALFORMED' }, String(length));
      const changed = Buffer.from(one);
      changed.writeUInt8(changed.readUInt8(one.length >> 1) ^ 1, one.length >> 1);
      assert.deepEqual(await fetched(changed), { reason: 'IMAGE_MALFORMED' });
    });

  it('zstd with a window of 1 GiB', async function () {
    of(this, 'zstd');
    await sh('sh', '-c', 'cat "$0" | zstd -q -c --long=30 >"$1"', scratch.path('disk'), scratch.path('long'));
    assert.ok((await fetched(await readFile(scratch.path('long')))).bytes?.equals(disk));
  });
});
