/**
 * An image for each lesson that others paid for (the CVE in the name), and proof that no tool ran
 * on what was refused.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, open, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { basename } from 'node:path';
import { suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { isRoot } from '../../support/needs.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

describe('hostile images', () => {
  const scratch = scratchFolder();
  before(() => mkdir(scratch.path('drop')));
  const ran = () => scratch.path('qemu-img-ran');
  // A qemu-img that leaves a trace wherever it runs: outside the sandbox, which would keep it from
  // that. It is there before the daemon, which asks for its version when it starts.
  before(async () => {
    await mkdir(scratch.path('tools'));
    const real = (await sh('sh', '-c', 'command -v qemu-img')).trim();
    const trace = `[ "$1" = --version ] || : > "${ran()}"`;
    await writeFile(scratch.path('tools/qemu-img'), `#!/bin/sh\n${trace}\nexec ${real} "$@"\n`);
    await chmod(scratch.path('tools/qemu-img'), 0o755);
    await writeFile(scratch.path('secret'), 'the secret of the host '.repeat(100));
    await mkdir(scratch.path('daemon/images'), { recursive: true });
  });

  const daemon = suiteDaemon(scratch, () => ({
    toml: '[sandbox]\nmode = "off"\n',
    roots: `[[roots]]\npath = "${scratch.path('daemon')}/images"\n[[roots]]\npath = "${scratch.path('drop')}"\ntrusted = false\n`,
    env: { PATH: `${scratch.path('tools')}:${process.env['PATH'] ?? ''}` },
  }));
  const image = (name: string) => daemon.get().image(name);
  const info = (request: Message) => daemon.get().stranger.unary('ImageService/GetImageInfo', request);
  const findings = async (path: string) =>
    (((await info({ path })) as { info: { findings?: Message[] } }).info.findings ?? []).map(({ reason }) => reason);

  /** Every verb that would hand the image to a tool refuses it so, and no tool has run. */
  const refusedEverywhere = async (path: string, format: string, reason: string) => {
    const { stranger } = daemon.get();
    const [target, target_format] = [image('leak'), 'raw'];
    const calls: [string, Message][] = [
      ['ConvertImage', { source: path, source_format: format, target, target_format }],
      ['ExtractSnapshot', { path, source_format: format, target, target_format }],
      ['MapImage', { path, format }],
      ['CreateOverlay', { path: target, backing_file: path, backing_format: format }],
    ];
    for (const [rpc, request] of calls)
      assert.equal((await failure(stranger.all(`ImageService/${rpc}`, request))).reason, reason, rpc);
    const measured = stranger.unary('ImageService/MeasureImage', { path, format, target_format });
    assert.equal((await failure(measured)).reason, reason);
    assert.ok(!existsSync(ran()), 'a tool ran');
    assert.ok(!existsSync(target));
    await refusedFromStrangers(path, format);
  };
  /** The same image in a folder where anybody may put files. */
  const refusedFromStrangers = async (path: string, format: string) => {
    const dropped = scratch.path('drop', basename(path));
    if (path !== dropped) await copyFile(path, dropped);
    const request = { source: dropped, source_format: format, target: image('leak'), target_format: 'raw' };
    const { reason } = await failure(daemon.get().stranger.all('ImageService/ConvertImage', request));
    assert.ok(['IMAGE_UNSAFE', 'FORMAT_MISMATCH', 'IMAGE_MALFORMED'].includes(reason), reason);
    assert.ok(!existsSync(ran()), 'a tool ran');
    assert.ok(!existsSync(image('leak')));
  };
  const qcow2 = async (name: string, ...options: string[]) => {
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', ...options, image(name), '1M');
    return image(name);
  };
  const patch = async (path: string, offset: number, bytes: Buffer) => {
    const file = await open(path, 'r+');
    await file.write(bytes, 0, bytes.length, offset);
    await file.close();
  };
  const big = (value: bigint) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(value);
    return bytes;
  };

  it('CVE-2022-47951: a VMDK that names files of the host', async () => {
    const text = `# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 2 FLAT "${scratch.path('secret')}" 0\n`;
    await writeFile(image('text.vmdk'), text.padEnd(1024, '\n'));
    assert.deepEqual(await findings(image('text.vmdk')), ['NAMES_OTHER_FILES']);
    await refusedEverywhere(image('text.vmdk'), 'vmdk', 'IMAGE_UNSAFE');
  });
  it('a VMDK with a parent that only qemu would find, and one that begins in another way', async () => {
    const secret = scratch.path('secret.vmdk');
    await sh('qemu-img', 'create', '-q', '-f', 'vmdk', secret, '1M');
    const hints = [
      `\nparentFileNameHint="${secret}"`,
      ` parentFileNameHint="${secret}"`,
      `x parentFileNameHint:"${secret}"`,
    ];
    for (const [n, hint] of hints.entries()) {
      const path = image(`hint-${String(n)}.vmdk`);
      await sh('qemu-img', 'create', '-q', '-f', 'vmdk', path, '1M');
      const end = (await readFile(path)).indexOf(0, 512);
      await patch(path, end, Buffer.from(`${hint}\n`));
      await refusedEverywhere(path, 'vmdk', 'PATH_OUTSIDE_ROOTS');
    }
    const text = `version=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 2 FLAT "${scratch.path('secret')}" 0\n`;
    await writeFile(image('version.vmdk'), text.padEnd(1024, '\n'));
    assert.deepEqual(await findings(image('version.vmdk')), ['NAMES_OTHER_FILES']);
    await refusedEverywhere(image('version.vmdk'), 'vmdk', 'IMAGE_UNSAFE');
    await refusedFromStrangers(image('version.vmdk'), 'raw');
    const copy = { source: scratch.path('drop/version.vmdk'), target: image('leak') };
    assert.equal((await failure(daemon.get().stranger.all('ImageService/CopyImage', copy))).reason, 'IMAGE_UNSAFE');
    // It is copied as raw bytes to where nobody can change it, and then looked at.
    await sh('rm', '-f', ran());
  });
  it('CVE-2024-32498: a qcow2 whose data lies in another file', async () => {
    await writeFile(image('data'), '');
    const path = await qcow2('external.qcow2', '-o', `data_file=${image('data')},data_file_raw=on`);
    assert.deepEqual(await findings(path), ['EXTERNAL_DATA_FILE']);
    await refusedEverywhere(path, 'qcow2', 'IMAGE_UNSAFE');
  });
  it('CVE-2024-40767: declared one format, content of another', async () => {
    const path = await qcow2('other.qcow2');
    await refusedEverywhere(path, 'vmdk', 'FORMAT_MISMATCH');
    await refusedEverywhere(path, 'vpc', 'FORMAT_MISMATCH');
  });
  it('CVE-2014-0134, 2015-1851, 2015-7548, 2026-24708: a guest writes a qcow2 header into its raw disk', async () => {
    const path = await qcow2('guest.raw', '-F', 'raw', '-b', scratch.path('secret'));
    const disk = await readFile(path);
    const answer = (await info({ path, format: 'raw', backing_chain: true })) as {
      info: Message;
      backing_chain?: Message[];
    };
    assert.equal(answer.info['format'], 'raw');
    assert.equal(answer.backing_chain, undefined);
    const request = { source: path, source_format: 'raw', target: image('copy.raw'), target_format: 'raw' };
    await daemon.get().stranger.operation('ImageService/ConvertImage', request);
    assert.ok((await readFile(image('copy.raw'))).subarray(0, disk.length).equals(disk), 'the bytes are the guest’s');
    await sh('rm', ran());
    const undeclared = { ...request, source_format: '', target: image('leak') };
    assert.equal(
      (await failure(daemon.get().stranger.all('ImageService/ConvertImage', undeclared))).reason,
      'INVALID_FIELD',
    );
  });
  it('CVE-2015-1851: an overlay that does not say the format of a base which looks like qcow2', async () => {
    const base = await qcow2('base.qcow2');
    const path = await qcow2('unsaid.qcow2', '-F', 'raw', '-b', base);
    // The header extension with the base's format becomes one that everybody skips.
    const at = (await readFile(path)).indexOf(Buffer.from('e2792aca', 'hex'));
    await patch(path, at, Buffer.from('12345678', 'hex'));
    assert.deepEqual(await findings(path), ['BACKING_FORMAT_MISSING']);
    await refusedEverywhere(path, 'qcow2', 'IMAGE_UNSAFE');
  });
  it('a base outside the roots, by its name or by a link', async () => {
    const outside = await qcow2('outside.qcow2', '-F', 'raw', '-b', scratch.path('secret'));
    await refusedEverywhere(outside, 'qcow2', 'PATH_OUTSIDE_ROOTS');
    await symlink(scratch.path('secret'), image('link.raw'));
    const linked = await qcow2('linked.qcow2', '-u', '-F', 'raw', '-b', 'link.raw');
    await refusedEverywhere(linked, 'qcow2', 'PATH_OUTSIDE_ROOTS');
    const server = await qcow2('server.qcow2', '-u', '-F', 'raw', '-b', 'nbd://127.0.0.1:1/x');
    await refusedEverywhere(server, 'qcow2', 'IMAGE_UNSAFE');
    const json = await qcow2('json.qcow2', '-u', '-F', 'raw', '-b', 'json:{"driver":"file","filename":"/etc/passwd"}');
    assert.notEqual((await failure(info({ path: json, format: 'qcow2', backing_chain: true }))).reason, '');
    assert.ok(!existsSync(ran()));
  });
  it('a chain that comes back to itself', async () => {
    const [one, two] = [await qcow2('one.qcow2'), await qcow2('two.qcow2', '-F', 'qcow2', '-b', image('one.qcow2'))];
    await sh('qemu-img', 'rebase', '-u', '-f', 'qcow2', '-F', 'qcow2', '-b', two, one);
    await refusedEverywhere(one, 'qcow2', 'IMAGE_UNSAFE');
  });
  it('features that nobody knows, by their name', async () => {
    const path = await qcow2('future.qcow2');
    await patch(path, 72, big(1n << 40n));
    assert.deepEqual(await findings(path), ['UNKNOWN_FEATURE']);
    await refusedEverywhere(path, 'qcow2', 'IMAGE_UNSAFE');
  });
  it('a compression that nobody knows, and one that its bit contradicts', async () => {
    const [bit, typeAt] = [big(1n << 3n), 104];
    for (const [name, type, features, reason] of [
      ['of a type to come', 2, bit, 'IMAGE_UNSAFE'],
      ['of the last type', 255, bit, 'IMAGE_UNSAFE'],
      ['of zstd without its bit', 1, big(0n), 'IMAGE_MALFORMED'],
      ['of an unknown type without the bit', 7, big(0n), 'IMAGE_MALFORMED'],
      ['of zlib with the bit of others', 0, bit, 'IMAGE_MALFORMED'],
    ] as const) {
      const path = await qcow2(`${name}.qcow2`);
      await patch(path, 72, features);
      await patch(path, typeAt, Buffer.from([type]));
      if (reason === 'IMAGE_UNSAFE') assert.deepEqual(await findings(path), ['UNKNOWN_FEATURE'], name);
      await refusedEverywhere(path, 'qcow2', reason);
    }
    const zstd = await qcow2('zstd.qcow2', '-o', 'compression_type=zstd');
    assert.deepEqual(await findings(zstd), []);
  });
  it('a data file that is raw, and is none; other bits that a writer may clear do no harm', async () => {
    const path = await qcow2('raw-data.qcow2');
    for (const bits of [2n, 3n, (1n << 40n) | 2n]) {
      await patch(path, 88, big(bits));
      await refusedEverywhere(path, 'qcow2', 'IMAGE_MALFORMED');
    }
    for (const bits of [0n, 4n, 1n << 40n]) {
      await patch(path, 88, big(bits));
      assert.deepEqual(await findings(path), []);
    }
  });
  it('tables that overlap the header or each other', async () => {
    for (const [name, at, value] of [
      ['l1-on-header', 40, 0n],
      ['l1-on-refcounts', 40, 65_536n],
      ['refcounts-on-l1', 48, 3n * 65_536n],
    ] as const) {
      const path = await qcow2(`${name}.qcow2`);
      await patch(path, at, big(value));
      assert.ok((await findings(path)).includes('METADATA_OVERLAPS'), name);
      await refusedEverywhere(path, 'qcow2', 'IMAGE_UNSAFE');
    }
  });
  it('CVE-2013-2096: sizes that no disk has', async () => {
    const path = await qcow2('huge.qcow2');
    await patch(path, 24, big(1n << 63n));
    await refusedEverywhere(path, 'qcow2', 'IMAGE_MALFORMED');
    const small = await qcow2('beyond.qcow2');
    await patch(small, 24, big(1n << 50n));
    await refusedEverywhere(small, 'qcow2', 'IMAGE_MALFORMED');
  });
  it('CVE-2013-4463: an image that grows beyond the disk once it is unpacked', async () => {
    await sh('truncate', '-s', '8T', image('bomb.raw'));
    const { reason } = await failure(
      daemon.get().stranger.all('ImageService/ConvertImage', {
        source: image('bomb.raw'),
        source_format: 'raw',
        target: image('leak'),
        target_format: 'raw',
        preallocation: 'PREALLOCATION_FULL',
      }),
    );
    assert.equal(reason, 'NO_SPACE');
    assert.ok(!existsSync(ran()) && !existsSync(image('leak')));
  });
  it('CVE-2015-5162: tables that would cost the tool memory and time', async () => {
    const [l1, refcounts] = [await qcow2('wide.qcow2'), await qcow2('counts.qcow2')];
    const entries = Buffer.alloc(4);
    entries.writeUInt32BE(0x7fffffff);
    await patch(l1, 36, entries);
    await refusedEverywhere(l1, 'qcow2', 'IMAGE_MALFORMED');
    await patch(refcounts, 56, entries);
    await refusedEverywhere(refcounts, 'qcow2', 'IMAGE_MALFORMED');
    // What qemu would still take is too much from a stranger.
    const large = await qcow2('large.qcow2');
    entries.writeUInt32BE(4_000_000);
    await patch(large, 36, entries);
    await sh('truncate', '-s', '64M', large);
    await refusedFromStrangers(large, 'qcow2');
  });
  it('CVE-2013-7130: what came only in part', async () => {
    for (const [name, format] of [
      ['part.qcow2', 'qcow2'],
      ['part.vhdx', 'vhdx'],
      ['part.vmdk', 'vmdk'],
    ] as const) {
      await sh('qemu-img', 'create', '-q', '-f', format, scratch.path('drop', name), '1G');
      const { size } = await stat(scratch.path('drop', name));
      await sh('truncate', '-s', String(Math.floor(size / 8)), scratch.path('drop', name));
      await refusedFromStrangers(scratch.path('drop', name), format);
    }
  });
  it('two formats in one file are said, and refused in an untrusted image', async () => {
    const path = await qcow2('iso.qcow2');
    await patch(path, 0x8001, Buffer.from('CD001'));
    assert.deepEqual(await findings(path), ['SEVERAL_FORMATS']);
    await refusedFromStrangers(path, 'qcow2');
  });
  it('formats that nobody makes any more are refused when untrusted', async () => {
    const heads: Record<string, [string, number]> = {
      bochs: ['Bochs Virtual HD Image', 0],
      cloop: ['#!/bin/sh\n#V2.0 Format\nmodprobe cloop', 0],
      dmg: ['koly', 512],
    };
    for (const [format, [mark, at]] of Object.entries(heads)) {
      const bytes = Buffer.alloc(1024);
      bytes.write(mark, at);
      if (format === 'cloop') bytes.writeUInt32BE(65536, 128);
      await writeFile(scratch.path('drop', `old.${format}`), bytes);
      await refusedFromStrangers(scratch.path('drop', `old.${format}`), format);
      await refusedFromStrangers(scratch.path('drop', `old.${format}`), 'raw');
    }
  });
  it('a FIFO, a socket, a device or a folder is no image, and nobody waits for it', async () => {
    await sh('mkfifo', image('fifo'));
    await mkdir(image('folder'));
    const socket = createServer();
    await new Promise<void>((resolve) => socket.listen(image('socket'), resolve));
    if (isRoot) await sh('mknod', image('zero'), 'c', '1', '5');
    try {
      for (const name of ['fifo', 'folder', 'socket', ...(isRoot ? ['zero'] : [])])
        for (const format of [undefined, 'raw', 'qcow2']) {
          const request = { path: image(name), ...(format === undefined ? {} : { format }) };
          assert.equal((await failure(info(request))).reason, 'NOT_A_FILE', name);
        }
    } finally {
      await new Promise((resolve) => socket.close(resolve));
    }
  });
  it('CVE-2015-3241: whoever removes an instance can end the copy of its disk', async () => {
    const { stranger } = daemon.get();
    await writeFile(image('moving.raw'), noise(4 << 20));
    const request = { source: image('moving.raw'), target: image('moved.raw'), engine: 'COPY_ENGINE_LOCAL_SPARSE' };
    const copying = stranger.stream('ImageService/CopyImage', {
      ...request,
      bandwidth_bytes_per_second: '262144',
      labels: { vm: '1' },
    });
    const pid = await new Promise<number>((resolve) => {
      copying
        .on('error', () => undefined)
        .on('data', (event: Message) => event['pid'] && resolve(Number(event['pid'])));
    });
    await stranger.unary('OperationService/CancelOperation', { labels: { vm: '1' } });
    assert.ok(!existsSync(`/proc/${String(pid)}`), 'the copy goes on');
    assert.ok(!existsSync(image('moved.raw')));
    assert.deepEqual(await daemon.get().leftovers(), []);
    await sh('rm', ran());
  });
  it('a tool does run on what is harmless', async () => {
    const request = { path: await qcow2('good.qcow2'), format: 'qcow2', target_format: 'raw' };
    await daemon.get().stranger.unary('ImageService/MeasureImage', request);
    assert.ok(existsSync(ran()));
  });
});
