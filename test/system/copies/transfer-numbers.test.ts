/**
 * What fetches, uploads and downloads report, held against what a server has sent, a client has
 * seen, and what is on disk.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { Daemon } from '../../support/daemon.js';
import { allocatedBytes, blockDigest, sparseFile } from '../../support/images/disks.js';
import { FaultServer } from '../../support/servers/fault-server.js';
import { numbersOf, reported } from '../../support/numbers/reported.js';
import { RawServer, answer, type Asked } from '../../support/servers/raw-server.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const MIB = 1024 * 1024;
const SIZE = 16 * MIB;
const DATA = 3 * MIB;
const PIECE = 256 * 1024;
const QUICK = '[fetch]\nattempts = 3\nbackoff_ms = 10\nmax_backoff_ms = 20\n';
/** A filesystem's own blocks for a file. */
const CLOSE = 64 * 1024;

describe('true numbers of transfers', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  let daemon: Daemon;
  const at = (name: string) => daemon.image(name);
  const near = (found: number, expected: number, what: string) => {
    assert.ok(Math.abs(found - expected) <= CLOSE, `${what}: ${String(found)} instead of ${String(expected)}`);
  };
  /** With data at its beginning and its end. */
  let image: Buffer;
  let server: FaultServer;
  before(async () => {
    daemon = await Daemon.start(scratch.path('daemon'), { toml: QUICK });
    scratch.onEnd(() => daemon.stop());
    server = await FaultServer.start();
    scratch.onEnd(() => server.close());
    await sparseFile(at('image'), SIZE, [
      { at: 0, length: DATA - MIB },
      { at: SIZE - MIB, length: MIB },
    ]);
    image = await readFile(at('image'));
  });
  const fetched = (rpc: string, url: string, target: string, more: Message = {}) =>
    reported(daemon.stranger, `ImageService/${rpc}`, { source: { http: { url } }, target: at(target), ...more });
  const rangeOf = (from: number, to: number) =>
    `Content-Range: bytes ${String(from)}-${String(to - 1)}/${String(SIZE)}`;
  /** A server of one image, and how much of it it has sent. */
  const counting = async (
    reply: (asked: Asked) => { readonly lines: string[]; readonly body: Buffer; readonly length: number },
  ) => {
    let sent = 0;
    const raw = await RawServer.start((asked) => {
      const { lines, body, length } = reply(asked);
      sent += body.length;
      return { bytes: answer([...lines, 'ETag: "a"', `Content-Length: ${String(length)}`], body) };
    });
    scratch.onEnd(() => raw.close());
    return { url: `${raw.origin}/image`, sent: () => sent };
  };
  const network = (result: Message) => Number(result['network_bytes'] ?? 0);

  describe('a fetch', () => {
    it('whose line breaks again and again goes on: what came is what was sent', async () => {
      const url = server.add('breaks', image, { cutAfter: { bytes: 5 * MIB, times: 2 } });
      const { result, last } = await fetched('FetchRawImage', url, 'breaks');
      assert.equal(network(result), server.file('breaks').sentBytes);
      assert.equal(network(result), SIZE);
      assert.deepEqual(last, { done: SIZE, total: SIZE, skipped: 0 });
      near(await allocatedBytes(at('breaks')), DATA, 'on disk');
    });
    it('that comes in parts counts all of them', async () => {
      const parts = await counting(({ from = 0 }) => {
        const body = image.subarray(from, from + 3 * MIB);
        const lines = ['HTTP/1.1 206 Partial Content', rangeOf(from, from + body.length)];
        return { lines, body, length: body.length };
      });
      const { result, last } = await fetched('FetchRawImage', parts.url, 'in parts');
      assert.equal(network(result), parts.sent());
      assert.equal(network(result), SIZE);
      assert.deepEqual(last, { done: SIZE, total: SIZE, skipped: 0 });
      assert.ok((await readFile(at('in parts'))).equals(image));
    });
    for (const [where, stop] of [
      ['in data', MIB],
      ['in zeros', 5 * MIB],
      ['behind zeros', SIZE - MIB],
    ] as const)
      it(`that goes on where another request stopped ${where} counts what has come for it`, async () => {
        const [target, broken] = [`kept ${where}`, [stop, 0, 0]];
        const kept = await counting(({ from = 0 }) => {
          const [rest, sent] = [image.subarray(from), broken.shift()];
          if (sent === 0) return { lines: ['HTTP/1.1 503 Not now'], body: Buffer.alloc(0), length: 0 };
          const lines = from === 0 ? ['HTTP/1.1 200 OK'] : ['HTTP/1.1 206 Partial Content', rangeOf(from, SIZE)];
          return { lines, body: rest.subarray(0, sent), length: rest.length };
        });
        await failure(fetched('FetchRawImage', kept.url, target));
        assert.equal(kept.sent(), stop);
        const { operations } = await daemon.stranger.unary('OperationService/ListOperations', {});
        const ended = (operations as Message[]).find(({ addresses }) => String(addresses) === at(target));
        assert.equal(Number(((ended?.['last'] as Message)['progress'] as Message)['done_bytes']), stop);
        const { result, last } = await fetched('FetchRawImage', kept.url, target);
        assert.equal(network(result), kept.sent() - stop);
        assert.equal(network(result), SIZE - stop);
        assert.deepEqual(last, { done: SIZE, total: SIZE, skipped: 0 });
        assert.ok((await readFile(at(target))).equals(image));
        near(await allocatedBytes(at(target)), DATA, 'on disk');
      });
    for (const [title, format, more] of [
      ['is kept as it is', 'raw', {}],
      ['is made qcow2', 'qcow2', { source_format: 'raw', target_format: 'qcow2' }],
    ] as const)
      it(`of a compressed image that ${title}: the data and the holes are those of the image`, async () => {
        const url = server.add(`${format}.gz`, gzipSync(image));
        const { result, last, shown } = await fetched('FetchImage', url, format, more);
        assert.equal(network(result), server.file(`${format}.gz`).sentBytes);
        assert.ok(last !== undefined);
        near(last.done, DATA, 'done');
        // Tables of qcow2 are clusters of their own.
        const tables = format === 'qcow2' ? 4 * 65_536 : 0;
        near(await allocatedBytes(at(format)), DATA + tables, 'on disk');
        assert.equal(last.done + last.skipped, SIZE);
        const downloads = shown.filter(({ phase }) => phase === 'OPERATION_PHASE_DOWNLOADING');
        assert.ok(downloads.every(({ done }) => done <= network(result)));
      });
    it('of an image in which zeros take space that is made raw: they become holes, and were not moved', async () => {
      await sh('qemu-img', 'create', '-q', '-f', 'qcow2', at('dense.qcow2'), String(SIZE));
      const writes = ['-c', 'write -q -P 0 0 16M', '-c', 'write -q -P 7 1M 3M'];
      await sh('qemu-io', '-f', 'qcow2', ...writes, at('dense.qcow2'));
      const url = server.add('dense', await readFile(at('dense.qcow2')));
      const { last } = await fetched('FetchImage', url, 'from dense', { target_format: 'raw' });
      near(last?.done ?? 0, DATA, 'done');
      near(await allocatedBytes(at('from dense')), DATA, 'on disk');
      assert.equal((last?.done ?? 0) + (last?.skipped ?? 0), SIZE);
    });
    it('of nothing but zeros moves them, and makes a hole', async () => {
      const { result, last } = await fetched('FetchRawImage', server.add('zeros', Buffer.alloc(SIZE)), 'zeros');
      assert.equal(network(result), SIZE);
      assert.deepEqual(last, { done: SIZE, total: SIZE, skipped: 0 });
      near(await allocatedBytes(at('zeros')), 0, 'on disk');
    });
    it('of a file of this host moves its data, and none by the network', async () => {
      const { result, last } = await reported(daemon.stranger, 'ImageService/FetchImage', {
        ...{ source: { file: { path: at('image') } }, source_format: 'raw', target: at('from a file') },
      });
      assert.equal(network(result), 0);
      assert.ok(last !== undefined);
      // Nothing at all where the filesystem shares extents.
      assert.ok(
        [0, DATA].some((moved) => Math.abs(last.done - moved) <= CLOSE),
        String(last.done),
      );
      assert.equal(last.done + last.skipped, last.done === 0 && last.skipped === 0 ? 0 : SIZE);
    });
  });

  describe('an upload', () => {
    const start = (target: string) =>
      daemon.stranger.unary('ImageService/StartUpload', {
        ...{ target: at(target), format: 'raw', length_bytes: String(SIZE), data_bytes: String(DATA) },
      });
    const send = (id: unknown, offset: number, ...messages: Message[]) =>
      daemon.stranger.send('ImageService/UploadImage', [
        { header: { upload_id: id, offset: String(offset) } },
        ...messages,
      ]);
    const pieces = (from: number, to: number): Message[] =>
      Array.from({ length: (to - from) / PIECE }, (_, n) => ({
        data: image.subarray(from + n * PIECE, from + (n + 1) * PIECE),
      }));
    const checksum = () => ({ algorithm: 'sha256-4m-blocks', digest: blockDigest(image) });

    it('counts data and runs of zeros over all its connections, and over a restart of the daemon', async () => {
      const { upload_id: id } = await start('up');
      await send(id, 0, ...pieces(0, MIB));
      await daemon.stop();
      daemon = await Daemon.start(daemon.folder, { toml: QUICK });
      assert.equal(Number((await start('up'))['committed_bytes']), MIB);
      const events = daemon.stranger.all('OperationService/WatchOperation', { operation_id: id });
      const zeros = { zero_bytes: String(SIZE - DATA) };
      await send(id, MIB, ...pieces(MIB, DATA - MIB), zeros, ...pieces(SIZE - MIB, SIZE), { checksum: checksum() });
      const { last, moved, skipped } = numbersOf(await events);
      assert.deepEqual([moved, skipped], [DATA, SIZE - DATA]);
      assert.deepEqual(last, { done: DATA, total: DATA, skipped: SIZE - DATA });
      near(await allocatedBytes(at('up')), DATA, 'on disk');
      assert.ok((await readFile(at('up'))).equals(image));
    });
  });

  describe('a download', () => {
    it('sends data as data, and holes as runs', async () => {
      for (const [offset, data] of [
        [0, DATA],
        [DATA, MIB],
      ] as const) {
        const request = { path: at('image'), offset: String(offset) };
        const messages = await daemon.stranger.all('ImageService/DownloadImage', request);
        const sent = messages.reduce((sum, { data: bytes }) => sum + ((bytes as Buffer | undefined)?.length ?? 0), 0);
        const zeros = messages.reduce((sum, { zero_bytes: bytes }) => sum + Number(bytes ?? 0), 0);
        near(sent, data, 'data');
        assert.equal(sent + zeros, SIZE - offset);
      }
    });
  });
});
