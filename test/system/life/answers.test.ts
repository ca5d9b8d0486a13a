/**
 * Doors through which values came that no message holds: times, waits, sizes and words of servers,
 * files and headers.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { Daemon } from '../../support/daemon.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { needs } from '../../support/needs.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

describe('answers that could not be told', () => {
  const scratch = scratchFolder();
  let daemon: Daemon;
  let web: FaultServer;
  /** Of a filesystem that keeps any time; unset where there is none. */
  let memory: string | undefined;

  const start = async () => {
    const roots = [`${scratch.path('daemon')}/images`, ...(memory === undefined ? [] : [memory])];
    return Daemon.start(scratch.path('daemon'), {
      roots: roots.map((path) => `[[roots]]\npath = "${path}"\n`).join(''),
      toml: '[fetch]\nattempts = 2\nbackoff_ms = 10\nmax_backoff_ms = 20\n',
    });
  };
  before(async () => {
    if (existsSync('/dev/shm')) memory = await mkdtemp('/dev/shm/hostler-test-');
    web = await FaultServer.start();
    daemon = await start();
    scratch.onEnd(async () => {
      await daemon.stop();
      await web.close();
      if (memory !== undefined) await rm(memory, { recursive: true });
    });
  });

  const times: readonly (readonly [string, object | undefined])[] = [
    ['@-1.5', { seconds: '-2', nanos: 500_000_000 }],
    ['@-0.000000001', { seconds: '-1', nanos: 999_999_999 }],
    ['@0', {}],
    ['@1.123456789', { seconds: '1', nanos: 123_456_789 }],
    ['@253402300799.999999999', { seconds: '253402300799', nanos: 999_999_999 }],
    ['@253402300800', undefined],
    ['@67767976233532799', undefined],
  ];
  for (const [touch, expected] of times)
    it(`a file of ${touch} is told, with its time or without`, async function () {
      needs(this, memory !== undefined, 'there is no /dev/shm, whose files keep any time');
      const path = `${memory ?? ''}/file`;
      await writeFile(path, 'x');
      await sh('touch', '-d', touch, path);
      const answer = await daemon.stranger.unary('FileService/StatFile', { path });
      assert.deepEqual([answer['exists'], answer['modify_time']], [true, expected]);
      for (const [rpc, request] of Object.entries({ GetImageInfo: { path }, DetectDiskType: { path } }))
        await daemon.stranger.unary(`ImageService/${rpc}`, request);
      await daemon.stranger.operation('ImageService/DigestImage', { path });
    });

  for (const retryAfter of ['0.00000012345', '-1', '1e400', 'NaN', '99999999999999999999', '0x10', '', '0.5'])
    it(`Retry-After: ${retryAfter} hides no operation`, async () => {
      const url = web.add('busy', Buffer.alloc(0), { status: { code: 503, times: 99, retryAfter } });
      const request = { source: { http: { url } }, target: daemon.image('never') };
      assert.equal(
        (await failure(daemon.stranger.all('ImageService/FetchRawImage', request))).reason,
        'SOURCE_UNAVAILABLE',
      );
      assert.equal((await lastListed())['state'], 'OPERATION_STATE_FAILED');
    });
  it('nor after a restart', async () => {
    await daemon.stop();
    daemon = await start();
    assert.equal((await lastListed())['state'], 'OPERATION_STATE_FAILED');
  });

  const statuses = ['"\\ud800"', '"\\udfff\\ud800"', '"a\\u0000b"', '"constructor"', '"\\n\\r"'];
  for (const status of statuses)
    it(`an image of Glance in status ${status} ends the fetch only`, async () => {
      const id = '00000000-0000-4000-8000-000000000001';
      web.add(`v2/images/${id}`, Buffer.from(`{"status": ${status}, "disk_format": "constructor"}`));
      const source = { glance: { endpoint: web.origin, image_id: id } };
      const request = { source, target: daemon.image('never'), target_format: 'raw' };
      const error = await failure(daemon.stranger.all('ImageService/FetchImage', request));
      assert.equal(error.reason, 'SOURCE_UNAVAILABLE');
      assert.equal((await lastListed())['state'], 'OPERATION_STATE_FAILED');
      assert.equal(daemon.process.exitCode, null);
    });

  it('a chain whose snapshots fill more than a message is ANSWER_TOO_LARGE; each image alone is told', async () => {
    const [base, overlay] = [daemon.image('base.qcow2'), daemon.image('overlay.qcow2')];
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', base, '1M');
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', overlay);
    for (const path of [base, overlay]) await addSnapshots(path);
    const ask = (path: string, backingChain: boolean) =>
      daemon.stranger.unary('ImageService/GetImageInfo', { path, format: 'qcow2', backing_chain: backingChain });
    const error = await failure(ask(overlay, true));
    assert.deepEqual([error.code, error.reason], [8, 'ANSWER_TOO_LARGE']);
    for (const path of [base, overlay]) {
      assert.equal(((await ask(path, false))['info'] as { snapshots: Message[] }).snapshots.length, 16);
      const listed = await daemon.stranger.unary('ImageService/ListSnapshots', { path, format: 'qcow2' });
      assert.equal((listed['snapshots'] as Message[]).length, 16);
    }
  });

  /** The latest operation, when all are listed. */
  async function lastListed(): Promise<Message> {
    const answer = await daemon.stranger.unary('OperationService/ListOperations', { page_size: 1000 });
    const last = (answer['operations'] as Message[]).at(-1);
    const one = await daemon.stranger.unary('OperationService/GetOperation', { operation_id: last?.['operation_id'] });
    const watched = await daemon.stranger.all('OperationService/WatchOperation', {
      operation_id: last?.['operation_id'],
    });
    assert.deepEqual(watched.at(-1), (one['operation'] as { last: Message }).last);
    return watched.at(-1) ?? {};
  }
});

/**
 * A table of 16 snapshots with names of 65,000 bytes that are no UTF-8: three times as long when
 * they are told.
 */
async function addSnapshots(path: string): Promise<void> {
  const image = await readFile(path);
  const name = Buffer.alloc(65_000, 0xff);
  const entries = Array.from({ length: 16 }, () => {
    const entry = Buffer.alloc(Math.ceil((40 + 1 + name.length) / 8) * 8);
    entry.writeUInt16BE(1, 12);
    entry.writeUInt16BE(name.length, 14);
    entry.write('1', 40);
    name.copy(entry, 41);
    return entry;
  });
  const offset = Math.ceil(image.length / 65_536) * 65_536;
  image.writeUInt32BE(entries.length, 60);
  image.writeBigUInt64BE(BigInt(offset), 64);
  await writeFile(path, Buffer.concat([image, Buffer.alloc(offset - image.length), ...entries]));
}
