/** UploadImage and DownloadImage, over the wire and with the command. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { access, mkdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { Daemon, HOSTLER, suiteDaemon } from '../../support/daemon.js';
import { allocatedBytes, blockDigest, noise, sameBytes, sparseFile } from '../../support/images/disks.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const MIB = 1024 * 1024;
const PIECE = 256 * 1024;

describe('uploads and downloads', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch);
  const image = (name: string) => daemon.get().image(name);
  const stranger = () => daemon.get().stranger;
  const start = (target: string, length: number, more: Message = {}) =>
    stranger().unary('ImageService/StartUpload', {
      target: image(target),
      format: 'raw',
      length_bytes: String(length),
      ...more,
    });
  const send = (id: unknown, offset: number, ...messages: Message[]) =>
    stranger().send('ImageService/UploadImage', [{ header: { upload_id: id, offset: String(offset) } }, ...messages]);
  const sha256 = (data: Buffer) => ({ algorithm: 'sha256', digest: createHash('sha256').update(data).digest('hex') });
  const missing = (name: string) => assert.rejects(access(image(name)));
  const cancel = (id: unknown) => stranger().unary('OperationService/CancelOperation', { operation_id: id });
  const pieces = (data: Buffer): Message[] => {
    const all: Message[] = [];
    for (let at = 0; at < data.length; at += PIECE) all.push({ data: data.subarray(at, at + PIECE) });
    return all;
  };

  scratch.onEnd(async () => {
    assert.deepEqual(await daemon.get().leftovers(), []);
  });

  describe('UploadImage', () => {
    before(needsSandbox);
    for (const length of [0, 1, 511, 513, MIB + 777]) {
      it(`takes ${String(length)} bytes exactly`, async () => {
        const name = `up-${String(length)}`;
        const data = noise(length);
        const { upload_id: id } = await start(name, length);
        const answer = await send(id, 0, ...pieces(data), { checksum: sha256(data) });
        assert.ok((await readFile(image(name))).equals(data));
        const info = answer['info'] as Message;
        assert.equal(info['path'], image(name));
        assert.equal((await stat(image(name))).mode & 0o777, 0o600);
      });
    }

    it('zeros as runs become holes', async () => {
      const head = noise(PIECE);
      const [zeros, length] = [8 * 1024 ** 4, 8 * 1024 ** 4 + PIECE];
      const { upload_id: id } = await start('holes', length, { data_bytes: String(PIECE) });
      await send(id, 0, { data: head }, { zero_bytes: String(zeros / 2) });
      const digest = await stranger().operation('ImageService/DigestImage', {
        path: await twin(head, length),
      });
      const { committed_bytes: committed } = await start('holes', length, { data_bytes: String(PIECE) });
      assert.equal(committed, String(zeros / 2 + PIECE));
      const checksum = {
        algorithm: 'sha256-4m-blocks',
        digest: (digest['digest'] as Message)['digest'],
      };
      await send(id, zeros / 2 + PIECE, { zero_bytes: String(zeros / 2) }, { checksum });
      assert.equal((await stat(image('holes'))).size, length);
      assert.ok((await allocatedBytes(image('holes'))) <= 2 * PIECE);
    });

    it('is invisible until it is whole, and goes on over another connection', async () => {
      const data = noise(MIB);
      const { upload_id: id, committed_bytes: none } = await start('resumed', MIB);
      assert.equal(none ?? '0', '0');
      const broken = stranger().upload('ImageService/UploadImage');
      broken.stream.write({ header: { upload_id: id, offset: '0' } });
      broken.stream.write({ data: data.subarray(0, PIECE) });
      await until(async () => ((await progressOf(id))['done_bytes'] ?? '0') !== '0');
      broken.stream.cancel();
      await failure(broken.answer);
      await missing('resumed');
      const again = await start('resumed', MIB);
      assert.equal(again['upload_id'], id);
      assert.equal(again['committed_bytes'], String(PIECE));
      assert.ok(Number((again['expire_time'] as Message)['seconds']) > Date.now() / 1000 + 3600);
      const wrong = await failure(send(id, 0, { data }));
      assert.deepEqual(wrong.fields, ['header.offset']);
      await send(id, PIECE, { data: data.subarray(PIECE) }, { checksum: sha256(data) });
      assert.ok((await readFile(image('resumed'))).equals(data));
    });

    it('a new connection takes over from one that hangs', async () => {
      const data = noise(MIB);
      const { upload_id: id } = await start('taken', MIB, { checksum: sha256(data) });
      const hanging = stranger().upload('ImageService/UploadImage');
      hanging.stream.write({ header: { upload_id: id, offset: '0' } });
      hanging.stream.write({ data: data.subarray(0, 1000) });
      await until(async () => ((await progressOf(id))['done_bytes'] ?? '0') !== '0');
      const { committed_bytes: committed } = await start('taken', MIB, { checksum: sha256(data) });
      assert.equal((await failure(hanging.answer)).reason, 'CANCELLED');
      await send(id, Number(committed), { data: data.subarray(Number(committed)) });
      assert.ok((await readFile(image('taken'))).equals(data));
    });

    it('connections that come at once do not mix', async () => {
      const data = noise(4 * MIB);
      for (let round = 1; round <= 10; round++) {
        const name = `mixed-${String(round)}`;
        const { upload_id: id } = await start(name, data.length);
        const all = [0, 1, 2, 3].map(() => send(id, 0, ...pieces(data), { checksum: sha256(data) }));
        const done = (await Promise.allSettled(all)).filter(({ status }) => status === 'fulfilled');
        if (done.length === 0) {
          const { committed_bytes: committed = '0' } = await start(name, data.length);
          const rest = data.subarray(Number(committed));
          await send(id, Number(committed), ...pieces(rest), { checksum: sha256(data) });
        }
        assert.ok((await readFile(image(name))).equals(data));
      }
    });

    it('that says more or less than it sends is told so, and stays', async () => {
      const data = noise(1000);
      const { upload_id: id } = await start('liar', 1000);
      assert.deepEqual((await failure(send(id, 0, { data: noise(1001) }))).fields, ['data']);
      assert.deepEqual((await failure(send(id, 0, { zero_bytes: '18446744073709551615' }))).fields, ['zero_bytes']);
      assert.deepEqual(
        (await failure(send(id, 0, { data: data.subarray(0, 10) }, { checksum: sha256(data) }))).fields,
        ['checksum'],
      );
      assert.equal((await send(id, 10, { data: data.subarray(10, 20) }))['committed_bytes'], '20');
      assert.deepEqual((await failure(send(id, 20, { data: data.subarray(20) }))).fields, ['checksum']);
      await missing('liar');
      await send(id, 1000, { checksum: sha256(data) });
      assert.ok((await readFile(image('liar'))).equals(data));
    });

    it('whose bytes do not agree with the digest is removed', async () => {
      const { upload_id: id } = await start('wrong', 1000);
      const error = await failure(send(id, 0, { data: noise(1000) }, { checksum: sha256(noise(999)) }));
      assert.equal(error.reason, 'CHECKSUM_MISMATCH');
      await missing('wrong');
      assert.equal((await failure(send(id, 0))).reason, 'UPLOAD_NOT_FOUND');
    });

    describe('that has just succeeded is found again', () => {
      const data = noise(PIECE + 7);
      const other = noise(PIECE + 7, 3);
      const done = async (target: string, more: Message = {}) => {
        const { upload_id: id } = await start(target, data.length, more);
        await send(id, 0, { data }, { checksum: sha256(data) });
        return id;
      };
      const length = String(data.length);

      it('by its request id, also when its target has gone', async () => {
        const id = await done('again-1', { request_id: 'again' });
        await rm(image('again-1'));
        const again = await start('again-1', data.length, { request_id: 'again' });
        assert.deepEqual([again['upload_id'], again['committed_bytes']], [id, length]);
        assert.equal((again['info'] as Message)['path'], image('again-1'));
        const reused = await failure(start('again-1', data.length + 1, { request_id: 'again' }));
        assert.equal(reused.reason, 'REQUEST_ID_REUSED');
        await missing('again-1');
      });

      it('by its checksum', async () => {
        const id = await done('again-2', { checksum: sha256(data) });
        const again = await start('again-2', data.length, { checksum: sha256(data) });
        assert.deepEqual([again['upload_id'], again['committed_bytes']], [id, length]);
        assert.equal((again['info'] as Message)['path'], image('again-2'));
        assert.equal(
          (await failure(start('again-2', data.length, { checksum: sha256(other) }))).reason,
          'TARGET_EXISTS',
        );
      });

      it('without either: the checksum at the end tells whether it is the same', async () => {
        const id = await done('again-3');
        const again = await start('again-3', data.length);
        assert.deepEqual([again['upload_id'], again['committed_bytes']], [id, length]);
        assert.equal(again['info'] ?? undefined, undefined);
        const answer = await send(id, data.length, { checksum: sha256(data) });
        assert.equal((answer['info'] as Message)['path'], image('again-3'));
        const wrong = await failure(send(id, data.length, { checksum: sha256(other) }));
        assert.equal(wrong.reason, 'CHECKSUM_MISMATCH');
        const unknown = { algorithm: 'sha512', digest: '00'.repeat(64) };
        assert.equal((await failure(send(id, data.length, { checksum: unknown }))).reason, 'TARGET_EXISTS');
        assert.deepEqual((await failure(send(id, 0, { data }))).fields, ['header.offset']);
        assert.deepEqual((await failure(send(id, data.length, { data: other }))).fields, ['content']);
        assert.ok((await readFile(image('again-3'))).equals(data));
      });

      it('not where the target is another file by now, or is to be replaced', async () => {
        await done('again-4');
        await writeFile(image('again-4'), other);
        assert.equal((await failure(start('again-4', data.length))).reason, 'TARGET_EXISTS');
        await rm(image('again-4'));
        const { upload_id: id, committed_bytes: none = '0' } = await start('again-4', data.length);
        assert.equal(none, '0');
        await send(id, 0, { data }, { checksum: sha256(data) });
        const over = await start('again-4', data.length, { overwrite: true });
        assert.notEqual(over['upload_id'], id);
        await cancel(over['upload_id']);
      });
    });

    it('that is no image that a stranger may bring is refused', async () => {
      await sh('qemu-img', 'create', '-q', '-f', 'raw', image('base'), '1M');
      await sh('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', image('base'), '-F', 'raw', image('with-base'));
      const bad = await readFile(image('with-base'));
      for (const [format, reason] of [
        ['qcow2', 'IMAGE_UNSAFE'],
        ['raw', 'FORMAT_MISMATCH'],
        ['vmdk', 'FORMAT_MISMATCH'],
      ]) {
        const { upload_id: id } = await start('bad', bad.length, { format, checksum: sha256(bad) });
        assert.equal((await failure(send(id, 0, { data: bad }))).reason, reason);
        await missing('bad');
      }
    });

    it('holds its target until it is cancelled, and leaves nothing', async () => {
      const { upload_id: id } = await start('held', 1000);
      await send(id, 0, { data: noise(10) });
      assert.equal((await failure(start('held', 999))).reason, 'PATH_BUSY');
      const { operations = [] } = (await stranger().unary('OperationService/ListOperations', {
        filter: { states: ['OPERATION_STATE_RUNNING'] },
      })) as { operations?: Message[] };
      assert.ok(operations.some((operation) => operation['operation_id'] === id));
      await cancel(id);
      await missing('held');
      assert.equal((await failure(send(id, 10, { data: noise(10) }))).reason, 'UPLOAD_NOT_FOUND');
    });

    it('that nobody could ever finish is refused at the start', async () => {
      assert.equal((await failure(start('huge', 2 ** 52))).reason, 'NO_SPACE');
      assert.deepEqual((await failure(start('x', 1, { format: '' }))).fields, ['format']);
      assert.deepEqual((await failure(start('x', 1, { data_bytes: '2' }))).fields, ['data_bytes']);
      await writeFile(image('there'), 'x');
      assert.equal((await failure(start('there', 1))).reason, 'TARGET_EXISTS');
      assert.equal((await failure(send('01ARZ3NDEKTSV4RRFFQ69G5FAV', 0))).reason, 'UPLOAD_NOT_FOUND');
      assert.deepEqual((await failure(stranger().send('ImageService/UploadImage', [{ data: noise(1) }]))).fields, [
        'header',
      ]);
    });

    it('expires when nobody sends', async () => {
      const quick = await Daemon.start(scratch.path('quick'), {
        // Work that holds up the end would do so for longer than a test may take.
        server: 'drain_seconds = 600\n',
        toml: '[uploads]\nexpire_hours = 0.0003\n',
      });
      try {
        const { upload_id: id } = await quick.stranger.unary('ImageService/StartUpload', {
          target: quick.image('x'),
          format: 'raw',
          length_bytes: '10',
        });
        await until(async () => {
          const answer = await quick.stranger.unary('OperationService/GetOperation', { operation_id: id });
          return ((answer['operation'] as Message)['last'] as Message)['state'] === 'OPERATION_STATE_FAILED';
        });
        assert.deepEqual(await quick.leftovers(), []);
      } finally {
        // An upload that is open does not hold up the end.
        await quick.stranger.unary('ImageService/StartUpload', {
          target: quick.image('y'),
          format: 'raw',
          length_bytes: '10',
        });
        assert.equal(await quick.stop(), 0);
        assert.deepEqual(await quick.leftovers(), []);
      }
    });

    async function twin(head: Buffer, length: number): Promise<string> {
      await writeFile(image('twin'), head);
      await truncate(image('twin'), length);
      return image('twin');
    }

    async function progressOf(id: unknown): Promise<Message> {
      const answer = await stranger().unary('OperationService/GetOperation', { operation_id: id });
      return (((answer['operation'] as Message)['last'] as Message)['progress'] ?? {}) as Message;
    }
  });

  describe('DownloadImage', () => {
    before(async () => {
      await sparseFile(image('source'), 64 * MIB + 3, [
        { at: 0, length: MIB },
        { at: 33 * MIB + 5, length: 3 * MIB },
      ]);
    });

    const download = async (request: Message) => {
      const answers = await stranger().all('ImageService/DownloadImage', request);
      const last = answers.pop()?.['checksum'] as Message;
      const parts = answers.map((answer) =>
        answer['data'] === undefined ? Buffer.alloc(Number(answer['zero_bytes'])) : (answer['data'] as Buffer),
      );
      return { answers, bytes: Buffer.concat(parts), checksum: last };
    };

    it('sends the bytes, holes as runs, and the digest', async () => {
      const { answers, bytes, checksum } = await download({ path: image('source') });
      const source = await readFile(image('source'));
      assert.ok(bytes.equals(source));
      assert.deepEqual(checksum, { algorithm: 'sha256-4m-blocks', digest: blockDigest(source) });
      const sent = answers.reduce((sum, { data }) => sum + ((data as Buffer | undefined)?.length ?? 0), 0);
      assert.ok(sent <= 4 * MIB + 4 * PIECE, String(sent));
    });

    for (const [offset, length] of [
      [0, 1],
      [MIB - 5, 10],
      [33 * MIB, 7 * MIB + 1],
      [64 * MIB, undefined],
      [65 * MIB, 10],
    ] as const) {
      it(`sends from ${String(offset)}, ${String(length ?? 'all')}`, async () => {
        const request = { path: image('source'), offset: String(offset), ...(length && { length: String(length) }) };
        const { bytes, checksum } = await download(request);
        const source = (await readFile(image('source'))).subarray(offset, length && offset + length);
        assert.ok(bytes.equals(source));
        assert.equal(checksum['digest'], blockDigest(source));
      });
    }

    it('fails with what is wrong', async () => {
      await mkdir(image('folder'));
      const error = (path: string) => failure(download({ path: image(path) }));
      assert.equal((await error('nothing')).reason, 'FILE_NOT_FOUND');
      assert.equal((await failure(download({ path: '/etc/passwd' }))).reason, 'PATH_OUTSIDE_ROOTS');
      assert.equal((await failure(download({ path: image('folder') }))).reason, 'NOT_A_FILE');
    });

    it('a slow reader slows the daemon, and one that goes ends it', async () => {
      const stream = stranger().stream('ImageService/DownloadImage', { path: image('source') });
      await new Promise((resolve) => stream.once('data', resolve));
      stream.pause();
      stream.cancel();
      await new Promise((resolve) => stream.once('error', resolve));
    });
  });

  it('the command sends an image and takes it back, holes included', async function () {
    await needsSandbox.call(this);
    const [here, back] = [scratch.path('here.raw'), scratch.path('back.raw')];
    await sparseFile(here, 40 * MIB + 1, [{ at: 8 * MIB, length: MIB }]);
    const hostler = async (...args: string[]) => tryRun(HOSTLER, ['--address', daemon.get().address, 'image', ...args]);
    const up = await hostler('upload', here, image('sent.raw'), '-f', 'raw');
    assert.equal(up.code, 0, up.stderr);
    assert.ok(await sameBytes(here, image('sent.raw')));
    assert.ok((await allocatedBytes(image('sent.raw'))) <= 2 * MIB);
    const down = await hostler('download', image('sent.raw'), back);
    assert.equal(down.code, 0, down.stderr);
    assert.ok(await sameBytes(here, back));
    assert.ok((await allocatedBytes(back)) <= 2 * MIB);
    const again = await hostler('download', image('sent.raw'), back);
    assert.equal(again.code, 2);
  });
});
