/** What is too long is refused by its first bytes, of every RPC, and costs nobody anything. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import type { ClientHttp2Session } from 'node:http2';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { suiteDaemon } from '../../support/daemon.js';
import { requests } from '../../support/descriptors.js';
import { bareSession, endOf, framed, openCall } from '../../support/servers/raw-calls.js';
import { scratchFolder } from '../../support/scratch.js';
import { Stranger, failure } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const MIB = 1024 * 1024;
/** Of messages in parts, in this test. */
const PART_BYTES = 4 * MIB;

describe('requests without measure', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, () => ({
    toml: [
      `[[listeners]]\naddress = "unix://${scratch.path('daemon')}/greedy.sock"\nrole = "admin"`,
      `[limits]\npart_bytes_per_caller = ${String(PART_BYTES)}`,
    ].join('\n'),
  }));
  let session: ClientHttp2Session;
  before(async () => {
    session = await bareSession(`${scratch.path('daemon')}/greedy.sock`);
  });
  after(() => {
    session.destroy();
  });
  const call = (path: string, bytes: Uint8Array) => {
    const stream = openCall(session, path);
    stream.end(framed(bytes));
    return endOf(stream);
  };

  /** A field within its message, given `times` times with nothing in it. */
  const empties = (path: readonly number[], times: number): Uint8Array => {
    const [number = 0, ...rest] = path;
    const writer = new BinaryWriter();
    const inner = rest.length === 0 ? new Uint8Array() : empties(rest, times);
    for (let n = 0; n < (rest.length === 0 ? times : 1); n++) writer.tag(number, WireType.LengthDelimited).bytes(inner);
    return writer.finish();
  };

  it('lists and maps of very many items, in every request that has one', async () => {
    let tried = 0;
    for (const [rpc, { fields }] of requests())
      for (const field of fields) {
        const inner = field.fieldKind === 'message' ? field.message.fields : [];
        const paths = [[field], ...inner.map((each) => [field, each])];
        for (const path of paths.filter((each) => ['list', 'map'].includes(each.at(-1)?.fieldKind ?? ''))) {
          const isPacked = path.at(-1)?.fieldKind === 'list' && path.at(-1)?.enum !== undefined;
          const numbers = path.map(({ number }) => number);
          const packed = new BinaryWriter()
            .tag(numbers[1] ?? 0, WireType.LengthDelimited)
            .bytes(new Uint8Array(30_000));
          const bytes = isPacked
            ? new BinaryWriter()
                .tag(numbers[0] ?? 0, WireType.LengthDelimited)
                .bytes(packed.finish())
                .finish()
            : empties(numbers, 20_000);
          const refused = await call(`/${rpc}`, bytes);
          const name = path.map((each) => each.name).join('.');
          assert.equal(refused?.reason, 'INVALID_FIELD', `${rpc} ${name}: ${String(refused?.message)}`);
          assert.deepEqual(refused.fields, [name]);
          assert.match(refused.message, /more than \d+/);
          tried += 1;
        }
      }
    assert.ok(tried > 30, String(tried));
  });

  for (const [path, number] of [
    ['/grpc.health.v1.Health/Check', 1],
    ['/grpc.health.v1.Health/Watch', 1],
    ['/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', 4],
    ['/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo', 3],
    ['/hostler.v1.HostInfoService/IsMounted', 1],
    ['/hostler.v1.ImageService/FetchRawImage', 2],
    ['/hostler.v1.OperationService/CancelOperation', 1],
  ] as const)
    it(`${path}: a text of 60,000 bytes`, async () => {
      const refused = await call(
        path,
        new BinaryWriter().tag(number, WireType.LengthDelimited).string('/'.repeat(60_000)).finish(),
      );
      assert.deepEqual([refused?.code, refused?.reason, refused?.fields.length], [3, 'INVALID_FIELD', 1]);
    });

  it('bytes that are no message', async () => {
    for (const bytes of [[0xff], [10, 100, 1], Array.from({ length: 60_000 }, () => 0x4b)]) {
      const refused = await call('/hostler.v1.FileService/StatFile', Uint8Array.from(bytes));
      assert.deepEqual([refused?.code, refused?.reason], [3, 'INVALID_FIELD']);
    }
  });

  it('a message is refused by the length that it announces', async () => {
    for (const path of [
      '/hostler.v1.FileService/StatFile',
      '/hostler.v1.FileService/WriteFile',
      '/hostler.v1.OperationService/WatchOperations',
      '/grpc.health.v1.Health/Check',
    ]) {
      const stream = openCall(session, path);
      stream.write(framed(Buffer.alloc(2 * MIB)).subarray(0, 5));
      const refused = await endOf(stream);
      assert.equal(refused?.reason, 'INVALID_FIELD', path);
      assert.match(refused.message, /the message is longer than \d+ bytes/);
    }
  });

  it('halves of messages, of one caller, up to a bound; others go on', async () => {
    const half = framed(Buffer.alloc(MIB)).subarray(0, MIB - 1000);
    const streams = Array.from({ length: 12 }, () => {
      const stream = openCall(session, '/hostler.v1.FileService/WriteFile');
      stream.write(half);
      return stream;
    });
    const refused: (string | undefined)[] = [];
    for (const stream of streams)
      void endOf(stream).then((error) => {
        refused.push(error?.reason);
      });
    await until(() => refused.length >= 8);
    assert.deepEqual(new Set(refused), new Set(['CALLER_AT_LIMIT']));
    const path = daemon.get().image('written');
    await daemon.get().stranger.send('FileService/WriteFile', [{ header: { path } }, { data: Buffer.alloc(MIB) }]);
    assert.equal((await readFile(path)).length, MIB);
    for (const stream of streams) stream.close();
    // What the others held is free again, once they are gone.
    const own = new Stranger(`unix://${scratch.path('daemon')}/greedy.sock`);
    await own.send('FileService/WriteFile', [{ header: { path } }, { data: Buffer.alloc(MIB) }]);
    own.close();
  });

  it('what comes of a call that has ended is given back when the stream is gone', async () => {
    const header = new BinaryWriter().tag(1, WireType.LengthDelimited).string('/in/no/root').finish();
    const denied = framed(new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(header).finish());
    const half = framed(Buffer.alloc(MIB)).subarray(0, MIB - 1000);
    const other = await bareSession(`${scratch.path('daemon')}/greedy.sock`);
    for (let n = 0; n < 12; n++) {
      const stream = openCall(other, '/hostler.v1.FileService/WriteFile');
      stream.write(denied);
      stream.write(half);
      assert.equal((await endOf(stream))?.reason, 'PATH_OUTSIDE_ROOTS');
    }
    other.close();
    const own = new Stranger(`unix://${scratch.path('daemon')}/greedy.sock`);
    const path = daemon.get().image('after');
    await own.send('FileService/WriteFile', [{ header: { path } }, { data: Buffer.alloc(MIB, 1) }]);
    own.close();
  });

  it('a stream that is reset behind its last message has not ended well', async () => {
    const paths = Array.from({ length: 50 }, (_, n) => daemon.get().image(`reset-${String(n)}`));
    for (const [n, path] of paths.entries()) {
      await writeFile(path, 'old');
      const { stream, answer } = daemon.get().stranger.upload('FileService/WriteFile');
      stream.write({ header: { path } });
      stream.write({ data: Buffer.alloc(100_000, 1) });
      setTimeout(() => stream.cancel(), n % 10);
      assert.equal((await failure(answer)).code, 1);
    }
    await until(async () => (await daemon.get().leftovers()).length === 0);
    for (const path of paths) assert.equal(await readFile(path, 'utf8'), 'old', path);
  });

  it('is served as before', async () => {
    await daemon.get().stranger.unary('HostInfoService/GetHostInfo', {});
    assert.equal(daemon.get().process.exitCode, null);
    assert.doesNotMatch(daemon.get().log, /"BUG"/);
  });
});
