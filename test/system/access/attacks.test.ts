/** Attacks and accidents that once worked. */
import assert from 'node:assert/strict';
import { appendFile, open, rename, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { allOver } from '../../support/at-work.js';
import { begun } from '../../support/begun.js';
import { Daemon, suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, Stranger, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

describe('attacks', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch);
  const image = (name: string) => daemon.get().image(name);
  const run = (rpc: string, request: Message) => daemon.get().stranger.operation(`ImageService/${rpc}`, request);
  const info = (request: Message) => daemon.get().stranger.unary('ImageService/GetImageInfo', request);

  scratch.onEnd(async () => {
    assert.deepEqual(await daemon.get().leftovers(), []);
  });

  it('a VMDK descriptor that names a file of the host is said, and refused before any tool sees it', async () => {
    await writeFile(scratch.path('secret'), 'the secret of the host '.repeat(100));
    const descriptor = `# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 2 FLAT "${scratch.path('secret')}" 0\n`;
    await writeFile(image('text.vmdk'), descriptor.padEnd(1024, '\n'));
    const binary = Buffer.alloc(4096);
    binary.write('KDMV', 0, 'latin1');
    binary.writeUInt32LE(1, 4);
    binary.writeBigUInt64LE(1n, 28);
    binary.writeBigUInt64LE(2n, 36);
    binary.write(descriptor, 512, 'latin1');
    await writeFile(image('binary.vmdk'), binary);
    for (const name of ['text.vmdk', 'binary.vmdk']) {
      const { info: said } = (await info({ path: image(name), format: 'vmdk' })) as { info: { findings: Message[] } };
      assert.deepEqual(
        said.findings.map(({ reason }) => reason),
        ['NAMES_OTHER_FILES'],
      );
      const request = { source: image(name), source_format: 'vmdk', target: image('leak.raw'), target_format: 'raw' };
      assert.equal((await failure(run('ConvertImage', request))).reason, 'IMAGE_UNSAFE');
    }
  });

  it('a qcow2 with a huge snapshot table costs no memory', async () => {
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', image('snapshots.qcow2'), '1M');
    const file = await open(image('snapshots.qcow2'), 'r+');
    const count = Buffer.alloc(12);
    count.writeUInt32BE(65536, 0);
    count.writeBigUInt64BE(1n << 20n, 4);
    await file.write(count, 0, 12, 60);
    const entry = Buffer.alloc(40);
    entry.writeUInt16BE(65535, 12);
    entry.writeUInt16BE(65535, 14);
    entry.writeUInt32BE(1024, 36);
    for (let n = 0; n < 40; n++)
      await file.write(entry, 0, 40, (1 << 20) + n * Math.ceil((40 + 1024 + 131070) / 8) * 8);
    await file.truncate(2 ** 34);
    await file.close();
    assert.equal((await failure(info({ path: image('snapshots.qcow2') }))).reason, 'IMAGE_MALFORMED');
  });

  it('a header that promises 2^64-1 bytes, or a backing name with NUL, is malformed', async () => {
    for (const [name, offset, bytes] of [
      ['huge', 24, Buffer.alloc(8, 0xff)],
      ['nul', 8, Buffer.from('0000000000000200' + '00000004', 'hex')],
    ] as const) {
      const path = image(`${name}.qcow2`);
      await sh('qemu-img', 'create', '-q', '-f', 'qcow2', path, '1M');
      const file = await open(path, 'r+');
      await file.write(bytes, 0, bytes.length, offset);
      await file.write(Buffer.from('/a\0b'), 0, 4, 512);
      await file.close();
      assert.equal((await failure(info({ path, format: 'qcow2' }))).reason, 'IMAGE_MALFORMED', name);
    }
  });

  it('an overlay through a link to its own base is refused', async () => {
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', image('base.qcow2'), '1M');
    await symlink('base.qcow2', image('link.qcow2'));
    const request = {
      path: image('link.qcow2'),
      backing_file: image('link.qcow2'),
      backing_format: 'qcow2',
      overwrite: true,
    };
    assert.equal((await failure(run('CreateOverlay', request))).reason, 'SAME_FILE');
  });

  it('bytes that are no UTF-8 reach no file', async () => {
    await writeFile(image('u\uFFFD'), 'precious');
    assert.equal((await failure(run('DeleteImage', { path: image('u\uFFFD') }))).reason, 'INVALID_FIELD');
    await stat(image('u\uFFFD'));
  });

  for (const [title, change] of [
    ['grows', (path: string) => appendFile(path, 'more')],
    ['shrinks', (path: string) => truncate(path, 5 << 20)],
    ['is written to', (path: string) => sh('sh', '-c', 'printf x | dd of="$1" conv=notrunc status=none', 'sh', path)],
  ] as const) {
    it(`a source that ${title} while it is copied is no success`, async () => {
      await writeFile(image('moving.raw'), noise(8 << 20));
      const { failed } = await begun(daemon.get().stranger, 'ImageService/CopyImage', {
        source: image('moving.raw'),
        target: image('moved.raw'),
        bandwidth_bytes_per_second: String(8 << 20),
        engine: 'COPY_ENGINE_LOCAL_SPARSE',
      });
      await change(image('moving.raw'));
      assert.equal((await failed).reason, 'SOURCE_CHANGED');
      await assert.rejects(stat(image('moved.raw')));
    });
  }

  it('a folder that is moved away under an operation takes the result along; one that is removed is an error', async () => {
    await sh('mkdir', image('folder'));
    await writeFile(image('calm.raw'), noise(4 << 20));
    const request = {
      source: image('calm.raw'),
      target: image('folder/new.raw'),
      bandwidth_bytes_per_second: String(4 << 20),
      engine: 'COPY_ENGINE_LOCAL_SPARSE',
    };
    const start = (target: string) => begun(daemon.get().stranger, 'ImageService/CopyImage', { ...request, target });
    const moving = await start(request.target);
    await rename(image('folder'), image('elsewhere'));
    await moving.succeeded;
    await stat(image('elsewhere/new.raw'));
    const removing = await start(image('elsewhere/other.raw'));
    await sh('rm', '-rf', image('elsewhere'));
    assert.equal((await removing.failed).reason, 'PARENT_NOT_FOUND');
  });

  it('encryption is part of what a request id stands for', async () => {
    const request = { path: image('plain.qcow2'), format: 'qcow2', size: '1M', request_id: 'enc' };
    await run('CreateImage', request);
    const error = await failure(
      run('CreateImage', { ...request, encryption: { format: 'luks', passphrase: Buffer.from('x') } }),
    );
    assert.equal(error.reason, 'REQUEST_ID_REUSED');
  });

  it('the caller of a request id who goes first takes nobody along', async () => {
    await sh('qemu-img', 'create', '-q', '-f', 'vdi', image('disk.vdi'), '8M');
    for (let n = 0; n < 20; n++) {
      const request = {
        source: image('disk.vdi'),
        source_format: 'vdi',
        target: image(`joint-${String(n)}`),
        target_format: 'raw',
        request_id: `joint-${String(n)}`,
      };
      const first = new Stranger(daemon.get().address);
      const leaving = first.stream('ImageService/ConvertImage', request);
      leaving.on('error', () => undefined).on('data', () => undefined);
      await sleep(2);
      const second = run('ConvertImage', request);
      await sleep(n % 15);
      leaving.cancel();
      await second;
      first.close();
    }
  });

  it('reports common fields along with a verb’s own', async () => {
    const error = await failure(
      run('CreateImage', { path: 'x', format: 'raw', size: '1', request_id: 'r'.repeat(200) }),
    );
    assert.deepEqual([...error.fields].sort(), ['path', 'request_id']);
  });

  it('what was refused because the queue is full was never an operation', async () => {
    const small = await Daemon.start(scratch.path('small'), {
      toml: '[limits]\nrunning_operations = 1\nqueued_operations = 1\n',
    });
    await writeFile(small.image('n.raw'), noise(4 << 20));
    const seen = new Set<string>();
    const watch = small.stranger.stream('OperationService/WatchOperations', {});
    watch
      .on('data', ({ event }: { event?: { operation_id: string } }) => event && seen.add(event.operation_id))
      .on('error', () => undefined);
    // Answered on the same connection, so the watch has arrived.
    await allOver(small.stranger);
    const copies = [1, 2, 3, 4, 5].map((n) =>
      small.stranger.all('ImageService/CopyImage', {
        source: small.image('n.raw'),
        target: small.image(`c${String(n)}`),
        bandwidth_bytes_per_second: String(4 << 20),
        engine: 'COPY_ENGINE_LOCAL_SPARSE',
      }),
    );
    const refused = (await Promise.allSettled(copies)).filter(({ status }) => status === 'rejected').length;
    assert.equal(refused, 3);
    // What was refused would have come before the end of what was not.
    await until(() => seen.size >= 2);
    assert.equal(seen.size, 2);
    watch.cancel();
    await small.stop();
  });

  it('SIGTERM in the middle of admissions leaves nothing behind', async () => {
    for (const delay of [0, 3, 6, 9, 12, 18, 25]) {
      const victim = await Daemon.start(scratch.path('victim'), { server: 'drain_seconds = 0' });
      await writeFile(victim.image('n.raw'), noise(4 << 20));
      const calls = Array.from({ length: 8 }, (_, n) =>
        victim.stranger.all('ImageService/CopyImage', {
          source: victim.image('n.raw'),
          target: victim.image(`t${String(n)}`),
          overwrite: true,
          detach: true,
          bandwidth_bytes_per_second: '65536',
          engine: 'COPY_ENGINE_LOCAL_SPARSE',
        }),
      );
      await sleep(delay);
      victim.process.kill('SIGTERM');
      await Promise.allSettled(calls);
      assert.equal(await victim.exited, 0);
      assert.deepEqual(await victim.leftovers(), []);
      victim.stranger.close();
    }
  });
});
