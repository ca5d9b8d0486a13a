/**
 * What one caller's requests hold in the daemon's memory while they wait, and how long they keep
 * another caller's waiting.
 */
import assert from 'node:assert/strict';
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { forgetPeak, peakMib } from '../../support/bounds/memory.js';
import { suiteDaemon } from '../../support/daemon.js';
import { bareSession, endOf, framed, openCall } from '../../support/servers/raw-calls.js';
import { scratchFolder } from '../../support/scratch.js';
import { Stranger } from '../../support/stranger.js';
import { until } from '../../support/until.js';

const MOST_MIB = 600;
const MIB = 1 << 20;
const [SILENT, SENDING] = [24, 36];

describe('requests of one caller that wait', () => {
  const scratch = scratchFolder();
  const socket = (name: string) => `${scratch.path('daemon')}/${name}.sock`;
  const daemon = suiteDaemon(scratch, () => ({
    http: '127.0.0.1:0',
    // Hundreds of large messages that come in one moment are taken in one turn.
    heldMs: 1000,
    toml: ['greedy', 'modest']
      .map((name) => `[[listeners]]\naddress = "unix://${socket(name)}"\nrole = "admin"`)
      .concat('[[commands]]\nname = "match"\nexecutable = "/bin/true"\narguments = ["(?:[a-z]{1,30}-){1,30}x"]')
      .join('\n'),
  }));
  let session: ClientHttp2Session;
  let modest: Stranger;
  before(() => {
    modest = new Stranger(`unix://${socket('modest')}`);
  });
  after(() => modest.close());
  beforeEach(async () => {
    session = await bareSession(socket('greedy'));
    session.setMaxListeners(0);
    await forgetPeak(daemon.get().process.pid);
  });
  afterEach(() => session.destroy());
  const assertBounded = async () => {
    const mib = await peakMib(daemon.get().process.pid);
    assert.ok(mib < MOST_MIB, `the daemon took ${String(mib)} MiB`);
  };
  const slow = `<domain>\u{1f422}${'<c d="e" f="g" h="i"/>'.repeat(23_500)}</domain>`;
  const document = framed(new BinaryWriter().tag(1, WireType.LengthDelimited).string(slow).finish());
  const ask = (path: string, message: Buffer): ClientHttp2Stream => {
    const stream = openCall(session, path);
    stream.end(message);
    return stream;
  };

  it('large documents: what is too much is refused, and another caller has its turn', async () => {
    const refused: string[] = [];
    const streams = Array.from({ length: 300 }, () => ask('/hostler.v1.ImageService/FindRootDisk', document));
    for (const stream of streams) void endOf(stream).then((error) => refused.push(error?.reason ?? ''));
    await until(() => refused.includes('CALLER_AT_LIMIT'));
    const disks = '<disk type="file" device="disk"><source file="/a"/><target dev="vda"/></disk>'.repeat(80);
    const found = await modest.unary('ImageService/FindRootDisk', {
      domain_xml: `<domain type="kvm"><devices>${disks}</devices></domain>`,
    });
    assert.equal(found['path'], '/a');
    assert.ok(refused.length < streams.length, 'the other caller waited for all of them');
    await assertBounded();
    for (const stream of streams) stream.close(8);
    await until(() => refused.length === streams.length);
  }).timeout(120_000);

  it('questions to reflection that are not read are read one by one', async () => {
    const stream = openCall(session, '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo');
    const question = new BinaryWriter().tag(4, WireType.LengthDelimited).string('hostler.v1.ImageService').finish();
    stream.write(Buffer.concat(Array.from({ length: 4000 }, () => framed(question))));
    await modest.unary('HostInfoService/ValidateHostname', { hostname: 'a.b' });
    let read = 0;
    stream.on('data', (chunk: Buffer) => (read += chunk.length));
    await until(() => read > 20 * MIB);
    await assertBounded();
    stream.close(8);
  }).timeout(120_000);

  it('streams of data that wait for their turn hold a few messages each', async () => {
    const data = framed(
      new BinaryWriter()
        .tag(2, WireType.LengthDelimited)
        .bytes(new Uint8Array(MIB - 100))
        .finish(),
    );
    // The first of them hold all places of their caller, and send nothing.
    const streams = Array.from({ length: SILENT + SENDING }, (_, n) => {
      const stream = openCall(session, '/hostler.v1.FileService/WriteFile').resume();
      const header = new BinaryWriter().tag(1, WireType.LengthDelimited).string(daemon.get().image(`w${String(n)}`));
      stream.write(framed(new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(header.finish()).finish()));
      for (let sent = 0; n >= SILENT && sent < 20; sent++) stream.write(data);
      return stream;
    });
    const filter = { methods: ['WriteFile'], states: ['OPERATION_STATE_QUEUED'] };
    await until(async () => {
      const { operations = [] } = await modest.unary('OperationService/ListOperations', { filter });
      return Array.isArray(operations) && operations.length >= SENDING;
    });
    await assertBounded();
    for (const stream of streams) stream.close(8);
  }).timeout(120_000);

  it('silent connections for metrics make room', async () => {
    const port = Number(new URL(daemon.get().http).port);
    const closed: Socket[] = [];
    const silent = Array.from({ length: 200 }, () => connect(port, '127.0.0.1'));
    for (const each of silent)
      each
        .on('error', () => undefined)
        .resume()
        .once('close', () => closed.push(each));
    await Promise.all(silent.filter(({ readyState }) => readyState === 'opening').map((each) => once(each, 'connect')));
    await until(() => closed.length >= 136);
    const { status } = await fetch(`${daemon.get().http}/healthz`);
    assert.equal(status, 200);
    for (const each of silent) each.destroy();
  });
});
